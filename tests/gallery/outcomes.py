"""Misdeeds in statements and outcomes, of the Ledger and of the Auditor."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from protocol.evidence import build
from protocol.evidence.contradictions import versions_read
from protocol.evidence.decisions import WrittenBatch
from protocol.evidence.kinds import EXECUTION
from protocol.evidence.verdicts import Culprit, Role
from protocol.hashing import ZERO_HASH, tagged
from protocol.journal import Head
from protocol.records import RecordKey
from protocol.requests import OpenedRequest
from schemas.order import Entry, Order
from schemas.statement import Result, Statement, Update
from tests.gallery.hanging import (
    GALLERY,
    A,
    Exhibit,
    alter_outcome,
    alter_pin,
    order_of,
    result_of,
    started,
)
from tests.gallery.orders import register_scanner, scan
from tests.worlds import World

FALSE_HASH = tagged("record", b"something else")


class Signed:
    """A party's statement of a batch as that party signed it: honest, or altered and signed again."""

    def __init__(self, world: World, role: Role, *requests: OpenedRequest, sequence: int = -1) -> None:
        """Have a batch ordered and committed; or take the decided one of a sequence."""
        self.world = world
        self.role = role
        if sequence < 0:
            self.order, self.update = world.order(*requests)
            self.result = world.commit(self.order, requests)
        else:
            self.order, self.update = order_of(world, sequence), world.updates[sequence]
            self.result = result_of(world.decisions[sequence])
        self.outcomes = self.update.outcomes

    def alter(self, outcomes: tuple[bytes, ...] | None = None, **changes: Any) -> None:
        """Sign something else."""
        self.result = self.world.restate(self.result, outcomes, **changes)
        self.outcomes = self.result.outcomes

    @property
    def part(self) -> bytes:
        """The statement with this party's endorsement."""
        if self.role == "ledger":
            return build.ledger_part(self.result)
        signed = self.world.endorse(self.result.statement, self.order, self.result, self.update.salt)
        return build.auditor_part(signed)

    def leaf(self, index: int) -> bytes:
        return build.leaf_part(self.outcomes, index)

    def exhibit(self, claim: str, *parts: tuple[str, bytes]) -> Exhibit:
        """A leaf contradiction against this party."""
        named = [("statement", self.part), *parts]
        evidence = build.leaf_contradiction(self.world.epochs, self.role, claim, named)
        return Exhibit(evidence, self.world.epochs, Culprit(self.role))


def for_each_party(make: Callable[[Role], Exhibit]) -> Callable[[Role], Exhibit]:
    """Hang a misdeed once for the Ledger and once for the Auditor."""
    GALLERY[f"{make.__name__}_of_the_ledger"] = lambda: make("ledger")
    GALLERY[f"{make.__name__}_of_the_auditor"] = lambda: make("auditor")
    return make


# --- Leaves ---


@for_each_party
def header_copied_wrongly(role: Role) -> Exhibit:
    world = started()
    signed = Signed(world, role, world.get("a"))
    signed.alter(ordered_at_ms=world.now_ms + 1)
    return signed.exhibit("header", ("order", build.order_part(signed.order)))


@for_each_party
def outcome_that_is_none(role: Role) -> Exhibit:
    world = started()
    signed = Signed(world, role, world.get("a"))
    signed.alter((signed.outcomes[0] + b"\0",))
    return signed.exhibit("malformed", ("leaf", signed.leaf(0)))


@for_each_party
def outcome_with_another_index(role: Role) -> Exhibit:
    world = started()
    signed = Signed(world, role, world.get("a"), world.get("b"))
    signed.alter(alter_outcome(signed.outcomes, 1, index=0))
    return signed.exhibit("malformed", ("leaf", signed.leaf(1)))


@for_each_party
def outcome_of_another_request(role: Role) -> Exhibit:
    world = started()
    signed = Signed(world, role, world.get("a"), world.get("b"))
    signed.alter(alter_outcome(signed.outcomes, 1, entity="mallory"))
    return signed.exhibit("request", ("leaf", signed.leaf(1)), ("entry", build.entry_part(signed.order, 1)))


@for_each_party
def outcome_with_other_versions(role: Role) -> Exhibit:
    world = started()
    signed = Signed(world, role, world.get("a"), world.put("b", 2))
    signed.alter(alter_outcome(signed.outcomes, 1, writes=()))
    return signed.exhibit("versions", ("leaf", signed.leaf(1)), ("entry", build.entry_part(signed.order, 1)))


@for_each_party
def altered_record(role: Role) -> Exhibit:
    """The demonstration: a record altered at rest, its hash recomputed, and read."""
    world = started()
    for party in (world.ledger, world.auditor):
        party.alter(A, "altered")
    signed = Signed(world, role, world.get("b"), world.get("a"))
    return signed.exhibit("read", ("leaf", signed.leaf(1)), ("pin", build.decided_leaf_part(world.decisions[1], 0)))


@for_each_party
def altered_record_in_a_scan(role: Role) -> Exhibit:
    world = started()
    register_scanner(world)
    for party in (world.ledger, world.auditor):
        party.alter(A, "altered")
    signed = Signed(world, role, scan(world))
    return signed.exhibit("read", ("leaf", signed.leaf(0)), ("pin", build.decided_leaf_part(world.decisions[1], 0)))


@for_each_party
def altered_record_of_the_same_batch(role: Role) -> Exhibit:
    world = started()
    signed = Signed(world, role, world.put("a", 3), world.get("a"))
    signed.alter(alter_outcome(signed.outcomes, 1, reads=alter_pin(signed.outcomes[1], A, FALSE_HASH)))
    return signed.exhibit("read", ("leaf", signed.leaf(1)), ("earlier leaf", signed.leaf(0)))


@for_each_party
def altered_record_of_the_genesis(role: Role) -> Exhibit:
    world = started()
    for party in (world.ledger, world.auditor):
        party.alter(RecordKey("sys", "namespace/object"), {"owner": "mallory"})
    signed = Signed(world, role, world.put("a", 3))
    return signed.exhibit("read", ("leaf", signed.leaf(0)))


@for_each_party
def absent_record_with_a_hash(role: Role) -> Exhibit:
    world = started()
    signed = Signed(world, role, world.get("c"))
    reads = alter_pin(signed.outcomes[0], RecordKey("object", "c"), FALSE_HASH)
    signed.alter(alter_outcome(signed.outcomes, 0, reads=reads))
    return signed.exhibit("read", ("leaf", signed.leaf(0)))


@for_each_party
def other_predecessor(role: Role) -> Exhibit:
    world = started()
    signed = Signed(world, role, world.get("a"))
    signed.alter(previous_statement_hash=tagged("statement", b"another"))
    return signed.exhibit("predecessor", ("previous", build.decided_part(world.decisions[1])))


@for_each_party
def predecessor_of_the_first(role: Role) -> Exhibit:
    world = World()
    signed = Signed(world, role, world.get("a"))
    signed.alter(previous_statement_hash=tagged("statement", b"another"))
    return signed.exhibit("predecessor")


@for_each_party
def other_journal(role: Role) -> Exhibit:
    world = started()
    signed = Signed(world, role, world.get("a"))
    signed.alter(journal_root=tagged("statement", b"another"))
    frontier = Head.start().advance(world.decisions[0].signed.statement).frontier
    previous = ("previous", build.decided_part(world.decisions[1]))
    return signed.exhibit("journal root", previous, ("frontier", frontier.to_bytes()))


@for_each_party
def journal_before_the_first(role: Role) -> Exhibit:
    world = World()
    signed = Signed(world, role, world.get("a"))
    signed.alter(journal_root=ZERO_HASH)
    return signed.exhibit("journal root")


# --- Execution ---


def execution(
    world: World,
    order: Order,
    update: Update,
    result: Result,
    index: int,
    culprit: Culprit,
    older: tuple[tuple[RecordKey, int], ...] = (),
) -> Exhibit:
    """Evidence of kind "execution", without the module that builds it for the Auditor."""
    by_auditor = world.endorse(update.statement, order, result, update.salt)
    parts = [
        ("entry", build.entry_part(order, index)),
        ("ledger statement", build.ledger_part(result)),
        ("ledger leaf", build.leaf_part(result.outcomes, index)),
        ("auditor statement", build.auditor_part(by_auditor)),
        ("auditor leaf", build.leaf_part(update.outcomes, index)),
    ]
    sequence = Statement.from_bytes(update.statement).sequence
    writers = set()
    for read in {read.key: read for read in versions_read(Entry.from_bytes(order.entries[index]))}.values():
        if read.version == 0 or read.writer[0] < 0:
            continue
        writers.add(read.writer)
        outcomes, values = update.outcomes, update.values
        if read.writer[0] != sequence:
            outcomes, values = (
                world.decisions[read.writer[0]].outcomes,
                world.decisions[read.writer[0]].values,
            )
        batch = WrittenBatch(read.writer[0], outcomes, values)
        parts.append(("record", build.record_part(read.key, batch.record(world.ledger_id, read))))
    for key, version in older:
        parts.append(("record", build.record_part(key, world.auditor.history[key][version - 1])))
    for writer, place in sorted(writers):
        if writer == sequence:
            parts.append(("ledger pin", build.leaf_part(result.outcomes, place)))
            parts.append(("auditor pin", build.leaf_part(update.outcomes, place)))
        else:
            parts.append(("pin", build.decided_leaf_part(world.decisions[writer], place)))
    return Exhibit(build.make_evidence(world.epochs, EXECUTION, parts), world.epochs, culprit)


def lie_about_output(world: World, role: Role, *requests: OpenedRequest) -> tuple[Order, Update, Result, int]:
    """Have one party sign another output for the last of some requests."""
    order, update = world.order(*requests)
    result = world.commit(order, requests)
    index = len(requests) - 1
    lie = alter_outcome(update.outcomes, index, output_hash=tagged("output", b'"lie"'))
    lying = world.restate(result, lie)
    if role == "ledger":
        return order, update, lying, index
    return order, replace(update, statement=lying.statement, outcomes=lying.outcomes), result, index


@for_each_party
def wrong_output(role: Role) -> Exhibit:
    world = started()
    order, update, result, index = lie_about_output(world, role, world.get("b"), world.get("a"))
    return execution(world, order, update, result, index, Culprit(role))


@for_each_party
def wrong_output_on_what_the_batch_wrote(role: Role) -> Exhibit:
    world = started()
    requests = (world.put("a", 3), world.put("b", 2), world.get("a"))
    order, update, result, index = lie_about_output(world, role, *requests)
    return execution(world, order, update, result, index, Culprit(role))


@for_each_party
def wrong_output_of_a_scan(role: Role) -> Exhibit:
    world = started()
    register_scanner(world)
    world.decide(world.request("object.delete", {"key": "b"}), world.put("c", 1), world.put("d", 1))
    order, update, result, index = lie_about_output(world, role, scan(world, "a", "d", 2))
    return execution(world, order, update, result, index, Culprit(role))


@for_each_party
def wrong_output_of_a_history(role: Role) -> Exhibit:
    world = started()
    world.decide(world.put("a", 3))
    request = world.request("object.history", {"key": "a", "limit": 2})
    order, update, result, index = lie_about_output(world, role, request)
    return execution(world, order, update, result, index, Culprit(role), older=((A, 2),))


@for_each_party
def wrong_output_of_an_absent_record(role: Role) -> Exhibit:
    world = started()
    order, update, result, index = lie_about_output(world, role, world.get("c"))
    return execution(world, order, update, result, index, Culprit(role))
