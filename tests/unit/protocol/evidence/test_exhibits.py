"""What a part must be before anything of it is believed: each check, left out, would convict somebody honest."""

from dataclasses import replace

import pytest

from protocol import merkle
from protocol.evidence import build
from protocol.evidence.verdicts import Finding, Role
from protocol.hashing import tagged
from protocol.signatures import commitment, ledger_endorsement_input, order_hash, order_input, rejections_input
from schemas.exhibit import Leaf, SignedHeader, SignedLeaf
from schemas.order import Entry, OrderHeader, WriteVersion
from schemas.outcome import Outcome
from schemas.rejection import RejectionEntry, RejectionsHeader
from schemas.statement import Decision, Statement
from tests.gallery import GALLERY
from tests.gallery.hanging import alter_outcome, judge, order_of, result_of, started, with_part
from tests.worlds import World

RUBBISH = bytes(31) + b"\1" + bytes(31) + b"\1"
"""In the form of a signature, and nobody's."""


def forged_decision(world: World, missing: str = "") -> Decision:
    """Decision 1 with another hash written for object "a", signed by both parties but for one signature."""
    decision = world.decisions[1]
    writes = Outcome.from_bytes(decision.outcomes[0]).writes
    outcomes = alter_outcome(
        decision.outcomes, 0, writes=(writes[0]._replace(record_hash=tagged("record", b"forged")),)
    )
    header = replace(
        OrderHeader.from_bytes(decision.signed.header),
        commitment=commitment(decision.signed.salt, merkle.root(outcomes)),
    )
    order = world.sign_order(header, decision.entries)
    statement = replace(
        Statement.from_bytes(decision.signed.statement),
        order_hash=tagged("order", order.header),
        outcomes_root=merkle.root(outcomes),
    )
    if missing == "order_signature":
        order = replace(order, signature=RUBBISH)
    result = world.sign_result(statement, order.signature, outcomes)
    signed = world.endorse(result.statement, order, result, decision.signed.salt)
    if missing in ("ledger_signature", "auditor_signature"):
        signed = signed._replace(**{missing: RUBBISH})
    return replace(decision, signed=signed, outcomes=outcomes)


def accuse_with_pin(world: World, decision: Decision) -> object:
    """The verdict on an honest Ledger that read object "a", against a pin."""
    request = world.get("a")
    order, _ = world.order(request)
    result = world.commit(order, [request])
    parts = [
        ("statement", build.ledger_part(result)),
        ("leaf", build.leaf_part(result.outcomes, 0)),
        ("pin", build.decided_leaf_part(decision, 0)),
    ]
    return judge(build.leaf_contradiction(world.epochs, "ledger", "read", parts), world.epochs).finding


@pytest.mark.parametrize("missing", ["order_signature", "ledger_signature", "auditor_signature"])
def test_a_pin_needs_all_three_signatures(missing: str) -> None:
    """A forged pin convicts nobody unless both parties really signed it."""
    world = started()
    assert accuse_with_pin(world, forged_decision(world, missing)) is Finding.NOTHING


def test_a_pin_with_all_signatures_is_believed() -> None:
    """The forgery above is one that only its signatures give away."""
    world = started()
    assert accuse_with_pin(world, forged_decision(world)) is Finding.GUILTY


def test_one_party_cannot_sign_in_the_other_ones_place() -> None:
    """The Auditor alone, with its key wherever the Ledger's is asked for, pins nothing."""
    world = started()
    decision = forged_decision(world, "ledger_signature")
    signed = decision.signed
    result = world.sign_result(
        Statement.from_bytes(signed.statement), signed.order_signature, decision.outcomes, world.auditor.key
    )
    decision = replace(decision, signed=signed._replace(ledger_signature=result.ledger_signature))
    assert accuse_with_pin(world, decision) is Finding.NOTHING


def test_a_pinned_leaf_must_be_under_its_root() -> None:
    """An outcome that was not signed, beside a statement that was."""
    world = started()
    forged = forged_decision(world)
    decision = replace(forged, signed=world.decisions[1].signed)
    assert accuse_with_pin(world, decision) is Finding.NOTHING


def test_an_entry_must_be_under_its_root() -> None:
    """An entry that was not ordered, beside a header that was: it writes what an honest order did not see."""
    world = started()
    order, _ = world.order(world.get("a"))
    earlier = SignedLeaf.from_bytes(build.entry_part(order_of(world, 1), 0))
    entry = replace(Entry.from_bytes(earlier.leaf), writes=(WriteVersion("object", "a", 9, False),))
    forged = replace(earlier, leaf=entry.to_bytes()).to_bytes()
    parts = [("entry", build.entry_part(order, 0)), ("earlier", forged)]
    evidence = build.order_contradiction(world.epochs, "order.stale_read", parts)
    assert judge(evidence, world.epochs).finding is Finding.NOTHING


def test_a_leaf_must_be_under_its_root() -> None:
    """An outcome that the party did not sign, beside its statement."""
    world = started()
    request = world.get("a")
    order, _ = world.order(request)
    result = world.commit(order, [request])
    leaf = Leaf.from_bytes(build.leaf_part(result.outcomes, 0))
    for forged in (replace(leaf, leaf=b"rubbish"), replace(leaf, index=1), replace(leaf, path=(bytes(32),))):
        parts = [("statement", build.ledger_part(result)), ("leaf", forged.to_bytes())]
        evidence = build.leaf_contradiction(world.epochs, "ledger", "malformed", parts)
        assert judge(evidence, world.epochs).finding is Finding.NOTHING


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("name", ["stale_read", "two_orders", "time_that_falls"])
def test_another_format_is_not_judged(name: str, number: int) -> None:
    """What another version signed may mean something else."""
    world = started()
    order, _ = world.order(world.get("a"))
    later = world.reorder(order, format=number)
    evidence = GALLERY[name]().evidence
    if name == "stale_read":
        evidence = with_part(evidence, "entry", build.entry_part(later, 0))
    else:
        evidence = with_part(evidence, "order", build.order_part(later))
    assert judge(evidence, world.epochs).finding is Finding.CANNOT_JUDGE


@pytest.mark.parametrize("kind", ["audit", "last"])
def test_entries_of_other_kinds_of_orders_are_not_judged(kind: str) -> None:
    """Their entries are no requests of clients."""
    world = started()
    order, _ = world.order(world.request("object.get", {"key": "a"}, after=9))
    other = world.reorder(order, kind=kind)
    parts = [("entry", build.entry_part(other, 0))]
    evidence = build.order_contradiction(world.epochs, "order.not_after", parts)
    assert judge(evidence, world.epochs).finding is Finding.CANNOT_JUDGE


def test_a_void_order_contradicts_nothing() -> None:
    """What the Auditor ordered above the cut, it may order otherwise in the new epoch."""
    world = started()
    request = world.put("a", 3)
    void, _ = world.order(request, store=False)
    world.begin_epoch()
    world.decide(world.get("a"))
    world.decide(request)
    parts = [("entry", build.entry_part(void, 0)), ("entry", build.entry_part(order_of(world, 3), 0))]
    evidence = build.order_contradiction(world.epochs, "order.repeated", parts)
    assert "epoch.cut" in judge(evidence, world.epochs).explanation


@pytest.mark.parametrize("role", ["ledger", "auditor"])
def test_a_void_statement_contradicts_nothing(role: Role) -> None:
    """What a party said of a sequence above the cut copies its header as it will: nobody ever acted upon it."""
    world = started()
    order, _ = world.order(world.get("a"), store=False)
    result = world.commit(order, [world.get("a")], store=False)
    wrong = world.restate(result, ordered_at_ms=1)
    signed = world.endorse(wrong.statement, order, wrong, world.salt(2))
    statement = build.ledger_part(wrong) if role == "ledger" else build.auditor_part(signed)
    parts = [("statement", statement), ("order", build.order_part(order))]
    assert judge(build.leaf_contradiction(world.epochs, role, "header", parts), world.epochs).finding is Finding.GUILTY
    world.begin_epoch()
    verdict = judge(build.leaf_contradiction(world.epochs, role, "header", parts), world.epochs)
    assert (verdict.finding, "epoch.cut" in verdict.explanation) == (Finding.NOTHING, True)


def test_a_statement_of_another_format_pins_nothing() -> None:
    """Though both parties signed it: this verifier does not know what it means."""
    world = started()
    decision = forged_decision(world)
    for changed in ("statement", "header"):
        header = OrderHeader.from_bytes(decision.signed.header)
        signed_order = world.sign_order(replace(header, format=2 if changed == "header" else 1), decision.entries)
        statement = replace(
            Statement.from_bytes(decision.signed.statement),
            order_hash=order_hash(signed_order.header),
            format=2 if changed == "statement" else 1,
        )
        result = world.sign_result(statement, signed_order.signature, decision.outcomes)
        signed = world.endorse(result.statement, signed_order, result, decision.signed.salt)
        later = replace(decision, signed=signed)
        parts = [
            ("statement", build.ledger_part(result_of(world.decisions[1]))),
            ("leaf", build.leaf_part(world.decisions[1].outcomes, 0)),
            ("pin", build.decided_leaf_part(later, 0)),
        ]
        evidence = build.leaf_contradiction(world.epochs, "ledger", "read", parts)
        assert judge(evidence, world.epochs).finding is Finding.CANNOT_JUDGE, changed


@pytest.mark.parametrize("kind", ["header", "statement", "rejections"])
def test_a_part_of_another_ledger_proves_nothing_here(kind: str) -> None:
    """Even where its signer has signed it as one of this ledger: it says itself that it is not."""
    world = started()
    other = bytes(32)
    if kind == "header":
        header = replace(OrderHeader.from_bytes(order_of(world, 1).header), ledger_id=other, kind="empty")
        data = header.to_bytes()
        signature = world.auditor.key.sign(order_input(world.ledger_id, 0, data))
        part = SignedHeader(header=data, signature=signature).to_bytes()
        evidence = build.order_contradiction(world.epochs, "order.malformed", [("order", part)])
    elif kind == "statement":
        result = result_of(world.decisions[1])
        statement = replace(Statement.from_bytes(result.statement), ledger_id=other).to_bytes()
        signed = ledger_endorsement_input(world.ledger_id, 0, statement, result.order_signature)
        lying = replace(result, statement=statement, ledger_signature=world.ledger.key.sign(signed))
        evidence = build.two_ledger_statements(world.epochs, result, lying)
    else:
        entry = RejectionEntry(envelope_hash=bytes(32), request_id=bytes(32), code="busy", final=False)
        batch = world.reject(entry, as_of=1)
        data = replace(RejectionsHeader.from_bytes(batch.header), ledger_id=other).to_bytes()
        signature = world.auditor.key.sign(rejections_input(world.ledger_id, 0, data))
        evidence = build.two_rejections(world.epochs, batch, replace(batch, header=data, signature=signature))
    verdict = judge(evidence, world.epochs)
    assert (verdict.finding, "evidence.ledger" in verdict.explanation) == (Finding.NOTHING, True)


def test_a_sequence_of_another_epoch_contradicts_nothing() -> None:
    """A new epoch's order below its cut is void, too: nobody ever acted upon it."""
    world = started()
    world.begin_epoch()
    order, _ = world.order(world.request("object.get", {"key": "a"}, after=1))
    old = world.reorder(order, sequence=1)
    evidence = build.order_contradiction(world.epochs, "order.not_after", [("entry", build.entry_part(old, 0))])
    assert judge(evidence, world.epochs).finding is Finding.NOTHING


def test_a_negative_place_proves_nothing() -> None:
    """Numbers that no honest party signs do not confuse the verifier."""
    world = started()
    order, _ = world.order(world.get("a"))
    for sequence in (-1, -9):
        odd = world.reorder(order, sequence=sequence)
        parts = [("order", build.order_part(odd))]
        evidence = build.order_contradiction(world.epochs, "order.predecessor", parts)
        assert judge(evidence, world.epochs).finding is Finding.NOTHING
    header = replace(OrderHeader.from_bytes(order.header), epoch=-1).to_bytes()
    odd_part = SignedHeader(header=header, signature=order.signature).to_bytes()
    evidence = build.order_contradiction(world.epochs, "order.predecessor", [("order", odd_part)])
    assert judge(evidence, world.epochs).finding is Finding.NOTHING


def test_parties_are_not_confused() -> None:
    """A statement that the Auditor signed is no statement of the Ledger, nor the other way round."""
    for name, role in (("altered_record_of_the_ledger", "auditor"), ("altered_record_of_the_auditor", "ledger")):
        shown = GALLERY[name]()
        other = with_part(shown.evidence, "claim", f"{role} read".encode())
        assert judge(other, shown.epochs).finding is Finding.NOTHING
