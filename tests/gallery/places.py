"""Misdeeds: two things for one place, or a past rewritten; and refusals that prove nothing."""

from dataclasses import replace

from protocol import merkle
from protocol.evidence import build
from protocol.evidence.verdicts import AUDITOR, LEDGER, Culprit, Finding, Role
from protocol.hashing import ZERO_HASH, tagged
from protocol.signatures import refusal_input
from schemas.evidence import Evidence
from schemas.exhibit import Leaf
from schemas.order import Order
from schemas.rejection import Refused, RejectionEntry
from schemas.statement import Statement
from tests.gallery.hanging import (
    Exhibit,
    alter_outcome,
    exhibit,
    order_of,
    result_of,
    started,
)
from tests.gallery.orders import stale_read
from tests.parties import key_of
from tests.worlds import World


@exhibit
def two_orders() -> Exhibit:
    world = started()
    order, _ = world.order(world.get("a"))
    other = world.reorder(order, ordered_at_ms=world.now_ms + 1)
    return Exhibit(build.two_orders(world.epochs, order, other), world.epochs, AUDITOR)


@exhibit
def two_auditor_statements() -> Exhibit:
    world = started()
    decision = world.decisions[1]
    statement = replace(Statement.from_bytes(decision.signed.statement), outcomes_root=tagged("salt", b"x"))
    other = world.endorse(statement.to_bytes(), order_of(world, 1), result_of(decision), decision.signed.salt)
    return Exhibit(build.two_auditor_statements(world.epochs, decision.signed, other), world.epochs, AUDITOR)


@exhibit
def two_ledger_statements_of_one_order() -> Exhibit:
    world = started()
    result = result_of(world.decisions[1])
    other = world.restate(result, outcomes_root=tagged("salt", b"x"))
    return Exhibit(build.two_ledger_statements(world.epochs, result, other), world.epochs, LEDGER)


@exhibit
def two_ledger_statements_of_two_orders() -> Exhibit:
    world = started()
    requests = [world.get("a")]
    order, _ = world.order(*requests, store=False)
    other, _ = world.order(*requests)
    results = [world.commit(each, requests, store=False) for each in (order, other)]
    return Exhibit(build.two_ledger_statements(world.epochs, *results), world.epochs, AUDITOR)


@exhibit
def two_ledger_statements_one_of_a_bogus_order() -> Exhibit:
    world = started()
    requests = [world.get("a")]
    order, _ = world.order(*requests, store=False)
    other, _ = world.order(*requests)
    bogus = replace(other, signature=order.signature)
    results = [world.commit(each, requests, store=False) for each in (order, bogus)]
    return Exhibit(build.two_ledger_statements(world.epochs, *results), world.epochs, LEDGER)


@exhibit
def unsigned_order() -> Exhibit:
    world = started()
    requests = [world.get("a")]
    order, _ = world.order(*requests)
    bogus = replace(order, signature=order_of(world, 0).signature)
    result = world.commit(bogus, requests)
    return Exhibit(build.unsigned_order(world.epochs, result), world.epochs, LEDGER)


@exhibit
def commitment() -> Exhibit:
    """The Auditor takes over the Ledger's result although it had computed another."""
    world = started()
    requests = [world.put("a", 3)]
    order, update = world.order(*requests)
    result = world.restate(world.commit(order, requests), alter_outcome(update.outcomes, 0, output_hash=ZERO_HASH))
    signed = world.endorse(result.statement, order, result, update.salt)
    return Exhibit(build.commitment(world.epochs, order, signed), world.epochs, AUDITOR)


@exhibit
def rejected_then_ordered() -> Exhibit:
    world = started()
    request = world.get("a")
    rejection = RejectionEntry(
        envelope_hash=tagged("envelope", request.envelope_bytes),
        request_id=request.request_id,
        code="contract.resources",
        final=True,
    )
    rejections = world.reject(replace(rejection, request_id=ZERO_HASH), rejection, as_of=1)
    order, _ = world.order(world.get("b"), request)
    evidence = build.rejected_then_ordered(world.epochs, rejections, 1, order, 1)
    return Exhibit(evidence, world.epochs, AUDITOR)


@exhibit
def two_rejections() -> Exhibit:
    world = started()
    entry = RejectionEntry(envelope_hash=ZERO_HASH, request_id=ZERO_HASH, code="request.bad_signature", final=True)
    batches = [world.reject(entry, as_of=0), world.reject(entry, as_of=1)]
    return Exhibit(build.two_rejections(world.epochs, *batches), world.epochs, AUDITOR)


def _past(role: Role) -> Exhibit:
    """A party signs sequence 2 over a journal that has another statement 1 than it signed."""
    world = started()
    hashes = [tagged("statement", world.decisions[0].signed.statement), tagged("statement", b"another")]
    order, update = world.order(world.get("a"))
    rewritten = replace(Statement.from_bytes(update.statement), journal_root=merkle.root(hashes))
    result = world.sign_result(rewritten, order.signature, update.outcomes)
    signed = world.endorse(rewritten.to_bytes(), order, result, update.salt)
    leaf = Leaf(index=1, leaf=hashes[1], path=merkle.path(hashes, 1))
    if role == "ledger":
        earlier, later = build.ledger_part(result_of(world.decisions[1])), build.ledger_part(result)
    else:
        earlier, later = build.auditor_part(world.decisions[1].signed), build.auditor_part(signed)
    return Exhibit(build.rewritten_past(world.epochs, role, earlier, later, leaf), world.epochs, Culprit(role))


@exhibit
def rewritten_past_of_the_ledger() -> Exhibit:
    return _past("ledger")


@exhibit
def rewritten_past_of_the_auditor() -> Exhibit:
    return _past("auditor")


def _above_cut(role: Role) -> Exhibit:
    world = started()
    requests = [world.get("a")]
    order, update = world.order(*requests)
    result = world.commit(order, requests, store=False)
    world.begin_epoch()
    signed = world.endorse(update.statement, order, result, update.salt)
    part = build.ledger_part(result) if role == "ledger" else build.auditor_part(signed)
    return Exhibit(build.above_cut(world.epochs, role, part), world.epochs, Culprit(role))


@exhibit
def ledger_above_the_cut() -> Exhibit:
    return _above_cut("ledger")


@exhibit
def auditor_above_the_cut() -> Exhibit:
    return _above_cut("auditor")


def refuse(world: World, order: Order, code: str, evidence: Evidence) -> Refused:
    """A refusal with the Ledger's signature."""
    refusal, attachments = build.refusal(order, code, 0, evidence)
    signed = refusal_input(world.ledger_id, world.epoch, refusal.to_bytes())
    return Refused(
        epoch=world.epoch,
        refusal=refusal.to_bytes(),
        signature=key_of("ledger").sign(signed),
        attachments=attachments,
    )


@exhibit
def false_accusation() -> Exhibit:
    """The Ledger refuses an honest order, with an attachment that shows no contradiction."""
    world = started()
    order, _ = world.order(world.get("a"))
    parts = [
        ("entry", build.entry_part(order, 0)),
        ("earlier", build.entry_part(order_of(world, 1), 0)),
    ]
    attached = build.order_contradiction(world.epochs, "order.stale_read", parts)
    refused = refuse(world, order, "order.stale_read", attached)
    return Exhibit(build.false_accusation(world.epochs, refused), world.epochs, LEDGER, Finding.FALSE_ACCUSER)


@exhibit
def refusal_about_something_else() -> Exhibit:
    """The Ledger refuses an honest order with the proof of another order's fault."""
    world = started()
    attached = stale_read().evidence
    order, _ = world.order(world.get("b"))
    refused = refuse(world, order, "order.stale_read", attached)
    return Exhibit(build.false_accusation(world.epochs, refused), world.epochs, LEDGER, Finding.FALSE_ACCUSER)
