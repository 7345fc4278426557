"""The most important property of evidence: an honest party is never named.

1. A file that convicts, altered at will, names nobody but its culprit.
2. What honest parties have really signed, shuffled into any form of evidence, names nobody at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import merkle
from protocol.evidence import build
from protocol.evidence.case import verify_signature
from protocol.evidence.kinds import CLAIM, Row
from protocol.evidence.local_engine import LocalEngine
from protocol.evidence.verdicts import Finding, Verdict
from protocol.evidence.verify import ROWS, verify_evidence
from protocol.hashing import ZERO_HASH, tagged
from protocol.journal import Head
from protocol.records import RecordKey
from protocol.signatures import SignatureCheck
from schemas.evidence import Evidence, Part
from schemas.exhibit import Leaf, SignedHeader, SignedLeaf
from schemas.order import Order
from schemas.rejection import RejectionEntry
from schemas.statement import Result
from tests.gallery import GALLERY, Exhibit
from tests.gallery.hanging import result_of
from tests.gallery.orders import register_scanner, scan
from tests.worlds import World

ENGINE = LocalEngine()
HARMLESS = (Finding.NOTHING, Finding.CANNOT_JUDGE)


@cache
def hung(name: str) -> Exhibit:
    """An exhibit of the gallery, made once."""
    return GALLERY[name]()


def judge(evidence: Evidence | bytes, ledger_id: bytes) -> Verdict:
    """The verdict on a file."""
    data = evidence if isinstance(evidence, bytes) else evidence.to_bytes()
    return verify_evidence(data, ledger_id, ENGINE)


def assert_nobody_else(verdict: Verdict, shown: Exhibit) -> None:
    """Require that a verdict names the culprit or nobody."""
    if verdict.finding not in HARMLESS:
        assert (verdict.finding, verdict.culprit) == (shown.finding, shown.culprit), verdict


names = st.sampled_from(sorted(GALLERY))


@given(name=names, data=st.data())
@settings(max_examples=600)
def test_a_flipped_bit_names_nobody_else(name: str, data: st.DataObject) -> None:
    """One bit anywhere in the file."""
    shown = hung(name)
    file = bytearray(shown.evidence.to_bytes())
    # Genesis and configurations are the greater part of the file, and the least interesting one.
    begin = data.draw(st.sampled_from((0, file.index(shown.evidence.parts[0].data))))
    place = data.draw(st.integers(begin, len(file) - 1))
    file[place] ^= 1 << data.draw(st.integers(0, 7))
    assert_nobody_else(judge(bytes(file), shown.epochs.ledger_id), shown)


@given(name=names, data=st.data())
@settings(max_examples=600)
def test_a_flipped_bit_in_a_part_names_nobody_else(name: str, data: st.DataObject) -> None:
    """One bit of one part."""
    shown = hung(name)
    parts = list(shown.evidence.parts)
    index = data.draw(st.integers(0, len(parts) - 1))
    altered = bytearray(parts[index].data)
    altered[data.draw(st.integers(0, len(altered) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    parts[index] = parts[index]._replace(data=bytes(altered))
    assert_nobody_else(judge(replace(shown.evidence, parts=tuple(parts)), shown.epochs.ledger_id), shown)


def _drop(parts: list[Part], data: st.DataObject) -> None:
    parts.pop(data.draw(st.integers(0, len(parts) - 1)))


def _duplicate(parts: list[Part], data: st.DataObject) -> None:
    parts.append(data.draw(st.sampled_from(parts)))


def _swap(parts: list[Part], data: st.DataObject) -> None:
    first, second = (data.draw(st.integers(0, len(parts) - 1)) for _ in range(2))
    moved = parts[first].data
    parts[first] = parts[first]._replace(data=parts[second].data)
    parts[second] = parts[second]._replace(data=moved)


def _rename(parts: list[Part], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(parts) - 1))
    known = sorted({name.rpartition("* ")[2] for row in ROWS for name in row.parts})
    parts[index] = parts[index]._replace(name=data.draw(st.sampled_from(known)))


CHANGES: tuple[Callable[[list[Part], st.DataObject], None], ...] = (
    _drop,
    _duplicate,
    _swap,
    _rename,
)


@given(name=names, data=st.data())
@settings(max_examples=600)
def test_parts_moved_about_name_nobody_else(name: str, data: st.DataObject) -> None:
    """Parts dropped, doubled, swapped and renamed."""
    shown = hung(name)
    parts = list(shown.evidence.parts)
    data.draw(st.sampled_from(CHANGES))(parts, data)
    assert_nobody_else(judge(replace(shown.evidence, parts=tuple(parts)), shown.epochs.ledger_id), shown)


@given(name=names, data=st.data())
@settings(max_examples=600)
def test_another_kind_or_claim_names_nobody_else(name: str, data: st.DataObject) -> None:
    """The same parts under another row of the table."""
    shown = hung(name)
    row: Row = data.draw(st.sampled_from(ROWS))
    parts = [part for part in shown.evidence.parts if part.name != CLAIM]
    if row.claim:
        parts.insert(0, Part(CLAIM, row.claim.encode()))
    altered = replace(shown.evidence, kind=row.kind, parts=tuple(parts))
    assert_nobody_else(judge(altered, shown.epochs.ledger_id), shown)


@given(name=names)
@settings(max_examples=100)
def test_another_ledger_proves_nothing(name: str) -> None:
    """The reader means a ledger with the same names and keys, and another nonce."""
    shown, other = hung(name), World(b"other")
    assert judge(shown.evidence, other.ledger_id).finding is Finding.NOTHING
    renamed = replace(shown.evidence, ledger_id=other.ledger_id)
    assert judge(renamed, other.ledger_id).finding is Finding.NOTHING
    moved = replace(renamed, genesis=other.epochs.genesis_bytes, configurations=other.epochs.signed)
    assert judge(moved, other.ledger_id).finding is Finding.NOTHING


@given(data=st.binary(max_size=200))
def test_any_bytes_get_a_verdict(data: bytes) -> None:
    """Rubbish proves nothing, and never raises."""
    assert judge(data, World().ledger_id).finding is Finding.NOTHING


# --- Honest parties ---


class HonestHistory:
    """What honest parties signed in two epochs: failures, a revocation, scans, deletions, a void order."""

    def __init__(self) -> None:
        world = self.world = World()
        self.results: list[Result] = []
        self.parts: dict[str, list[bytes]] = {}
        self._run(world)
        self.orders: list[Order] = [build.order_of(decision) for decision in world.decisions.values()]
        self.orders.append(self.void)
        self._collect()

    def _run(self, world: World) -> None:
        world.decide(world.put("a", 1), world.put("b", 1), world.put("a", 2))
        world.decide(world.enrol("bob"))
        register_scanner(world)
        world.decide(scan(world, limit=1), world.request("object.delete", {"key": "b"}), scan(world, limit=1))
        world.decide(world.put("b", 5), world.get("c"), world.request("object.get", {}))
        world.decide()
        revoke = world.request("sys.key.revoke", {"entity": "bob", "key_version": 1})
        world.decide(world.request("object.put", {"key": "b", "value": 6}, "bob"), revoke)
        again = world.put("a", 3)
        self.void, _ = world.order(again, world.get("a"), store=False)
        world.begin_epoch()
        world.decide(world.get("a"), again, world.get("b"))
        world.decide(world.request("object.history", {"key": "a", "limit": 4}), scan(world))

    def _collect(self) -> None:
        """Everything as parts, by what it is made of."""
        world, parts = self.world, self.parts
        decisions = list(world.decisions.values())
        outcomes = [(decision, index) for decision in decisions for index in range(len(decision.outcomes))]
        parts["order"] = [build.order_part(order) for order in self.orders]
        parts["entry"] = [
            build.entry_part(order, index) for order in self.orders for index in range(len(order.entries))
        ]
        parts["ledger"] = [build.ledger_part(result_of(decision)) for decision in decisions]
        parts["auditor"] = [build.auditor_part(decision.signed) for decision in decisions]
        parts["leaf"] = [build.leaf_part(decision.outcomes, index) for decision, index in outcomes]
        hashes = [tagged("statement", decision.signed.statement) for decision in decisions]
        for size in range(1, len(hashes)):
            parts["leaf"] += [
                Leaf(index=i, leaf=hashes[i], path=merkle.path(hashes[:size], i)).to_bytes() for i in range(size)
            ]
        parts["decided"] = [build.decided_part(decision) for decision in decisions]
        parts["pin"] = [build.decided_leaf_part(decision, index) for decision, index in outcomes]
        parts["record"] = [
            build.record_part(key, record)
            for key, versions in world.auditor.history.items()
            for record in versions
            if key.namespace == "object" or "bob" in key.key or key == RecordKey("sys", "contract/scanner/1")
        ]
        head, frontiers = Head.start(), []
        for decision in decisions:
            frontiers.append(head.frontier.to_bytes())
            head = head.advance(decision.signed.statement)
        parts["frontier"] = frontiers
        self._collect_rejections()

    def _collect_rejections(self) -> None:
        envelope = b"envelope"
        entry = RejectionEntry(
            envelope_hash=tagged("envelope", envelope),
            request_id=ZERO_HASH,
            code="request.expired",
            final=True,
        )
        other = replace(entry, request_id=tagged("request", envelope), final=False)
        batches = [self.world.reject(entry, other, as_of=1), self.world.reject(other, as_of=2, number=1)]
        self.parts["rejections"] = [
            SignedHeader(header=batch.header, signature=batch.signature).to_bytes() for batch in batches
        ]
        self.parts["rejection"] = [
            SignedLeaf(
                header=batch.header,
                signature=batch.signature,
                index=index,
                leaf=batch.entries[index],
                path=merkle.path(batch.entries, index),
            ).to_bytes()
            for batch in batches
            for index in range(len(batch.entries))
        ]


MADE_OF: Mapping[str, str] = {
    "previous order": "order",
    "writer order": "order",
    "earlier": "entry",
    "writer": "entry",
    "key": "record",
    "key pin": "pin",
    "ledger statement": "ledger",
    "auditor statement": "auditor",
    "ledger leaf": "leaf",
    "auditor leaf": "leaf",
    "ledger pin": "leaf",
    "auditor pin": "leaf",
    "earlier leaf": "leaf",
}


@cache
def history() -> HonestHistory:
    """One honest history."""
    return HonestHistory()


def _pool(row: Row, name: str) -> list[bytes]:
    """Everything honest that a part of a row can be made of."""
    parts = history().parts
    signer = row.claim.partition(" ")[0]
    if name == "statement" or (row.kind == "rewritten past" and name in ("earlier", "later")):
        return parts[signer]
    if name == "previous":
        return parts["order" if row.kind == "order contradiction" else "decided"]
    return parts[MADE_OF.get(name, name)]


ELSEWHERE = ("replica", "false block", "too many liars", "false accusation")
"""Kinds whose honest parts are pieces and blocks (`tests/attacks/test_dispersal_roots.py`), or that name an accuser."""

JUDGED = [row for row in ROWS if row.kind not in ELSEWHERE]


def _names(row: Row) -> list[str] | None:
    """The parts of a row, if they are one or two."""
    names: list[str] = []
    for part in row.parts:
        number, _, name = part.rpartition("* ")
        if part.startswith("* "):
            return None
        names += [name] * int(number or 1)
    return names if len(names) <= 2 else None


SMALL_ROWS = [row for row in JUDGED if _names(row) is not None]


@pytest.mark.parametrize("row", SMALL_ROWS, ids=lambda row: f"{row.claim or row.kind} {len(row.parts)}")
def test_honest_parties_are_named_by_no_pair(row: Row) -> None:
    """All one or two things that honest parties signed, as any form of evidence that is so small."""
    world = history().world
    verified: set[SignatureCheck] = set()

    def verify(check: SignatureCheck) -> None:
        if check not in verified:
            verify_signature(check)
            verified.add(check)

    for chosen in product(*(_pool(row, name) for name in _names(row) or ())):
        parts = zip(_names(row) or (), chosen, strict=True)
        data = build.make_evidence(world.epochs, row.kind, parts, row.claim).to_bytes()
        verdict = verify_evidence(data, world.ledger_id, ENGINE, verify=verify)
        assert verdict.finding in HARMLESS, verdict


@given(row=st.sampled_from([row for row in JUDGED if row not in SMALL_ROWS]), data=st.data())
@settings(max_examples=400)
def test_honest_parties_are_never_named(row: Row, data: st.DataObject) -> None:
    """Whatever honest parties signed, put together as any larger form of evidence."""
    world = history().world
    chosen: list[tuple[str, bytes]] = []
    for part in row.parts:
        number, _, name = part.rpartition("* ")
        count = int(number) if number else data.draw(st.integers(0, 3)) if part.startswith("* ") else 1
        chosen += [(name or part, data.draw(st.sampled_from(_pool(row, name or part)))) for _ in range(count)]
    evidence = build.make_evidence(world.epochs, row.kind, chosen, row.claim)
    verdict = judge(evidence, world.ledger_id)
    assert verdict.finding in HARMLESS, verdict
