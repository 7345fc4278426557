"""What looks like two things for one place, or a rewritten past, and is none."""

from dataclasses import replace

import pytest

from protocol import merkle
from protocol.evidence import build
from protocol.evidence.verdicts import AUDITOR, LEDGER, Culprit, Finding
from protocol.hashing import ZERO_HASH, tagged
from schemas.exhibit import Leaf
from schemas.rejection import RejectionEntry
from schemas.statement import Statement
from tests.gallery import GALLERY
from tests.gallery.hanging import judge, order_of, result_of, started
from tests.worlds import World


def test_one_thing_twice_is_not_two() -> None:
    """The same order, statement or batch shown twice."""
    world = started()
    order, decision = order_of(world, 1), world.decisions[1]
    entry = RejectionEntry(envelope_hash=ZERO_HASH, request_id=ZERO_HASH, code="busy", final=False)
    batch = world.reject(entry, as_of=1)
    for evidence in (
        build.two_orders(world.epochs, order, order),
        build.two_auditor_statements(world.epochs, decision.signed, decision.signed),
        build.two_ledger_statements(world.epochs, result_of(decision), result_of(decision)),
        build.two_rejections(world.epochs, batch, batch),
    ):
        assert judge(evidence, world.epochs).finding is Finding.NOTHING


def test_two_places_may_differ() -> None:
    """Two sequences, two epochs or two numbers."""
    world = started()
    void, update = world.order(world.get("b"), store=False)
    entry = RejectionEntry(envelope_hash=ZERO_HASH, request_id=ZERO_HASH, code="busy", final=False)
    batches = [world.reject(entry, as_of=1), world.reject(entry, as_of=1, number=1)]
    world.begin_epoch()
    batches.append(world.reject(entry, as_of=1, number=1))
    world.decide(world.get("a"))
    first, second, third = (world.decisions[sequence] for sequence in range(3))
    salt = update.salt
    above = world.sign_result(Statement.from_bytes(update.statement), void.signature, update.outcomes)
    for evidence in (
        build.two_orders(world.epochs, order_of(world, 0), order_of(world, 1)),
        build.two_orders(world.epochs, void, order_of(world, 2)),
        build.two_auditor_statements(world.epochs, first.signed, second.signed),
        build.two_auditor_statements(world.epochs, world.endorse(update.statement, void, above, salt), third.signed),
        build.two_ledger_statements(world.epochs, result_of(first), result_of(second)),
        build.two_rejections(world.epochs, batches[0], batches[1]),
        build.two_rejections(world.epochs, batches[1], batches[2]),
    ):
        assert judge(evidence, world.epochs).finding is Finding.NOTHING


def test_two_orders_convict_although_they_are_void() -> None:
    """Void orders contradict nothing but one another."""
    world = started()
    order, _ = world.order(world.get("a"), store=False)
    other = world.reorder(order, ordered_at_ms=world.now_ms + 1)
    world.begin_epoch()
    assert judge(build.two_orders(world.epochs, order, other), world.epochs).culprit == AUDITOR


def test_the_ledger_is_excused_where_it_was_given_two_orders() -> None:
    """Around a crash the Ledger got another order for the same sequence, and both are signed: the Auditor."""
    shown = GALLERY["two_ledger_statements_of_two_orders"]()
    assert judge(shown.evidence, shown.epochs).culprit == AUDITOR


def test_a_signed_order_is_not_unsigned() -> None:
    """An endorsement with a good order signature; and one with a bad signature of its own."""
    world = started()
    result = result_of(world.decisions[1])
    assert judge(build.unsigned_order(world.epochs, result), world.epochs).finding is Finding.NOTHING
    altered = replace(result, order_signature=result.ledger_signature)
    assert judge(build.unsigned_order(world.epochs, altered), world.epochs).finding is Finding.NOTHING


def test_a_commitment_that_opens() -> None:
    """An honest endorsement, and one of another order."""
    world = started()
    for sequence in (0, 1):
        evidence = build.commitment(world.epochs, order_of(world, sequence), world.decisions[1].signed)
        assert judge(evidence, world.epochs).finding is Finding.NOTHING


@pytest.mark.parametrize("why", ["retry", "unauthenticated", "ordered before", "another request", "another epoch"])
def test_a_rejection_that_binds_nothing(why: str) -> None:
    """Only a final rejection of an authentic request forbids later orders of it, in its own epoch."""
    world = started()
    request = world.get("a")
    rejection = RejectionEntry(
        envelope_hash=tagged("envelope", request.envelope_bytes),
        request_id=ZERO_HASH if why == "unauthenticated" else request.request_id,
        code="contract.resources",
        final=why != "retry",
    )
    rejections = world.reject(rejection, as_of=2 if why == "ordered before" else 1)
    if why == "another epoch":
        world.begin_epoch()
    order, _ = world.order(world.get("b") if why == "another request" else request)
    evidence = build.rejected_then_ordered(world.epochs, rejections, 0, order, 0)
    assert judge(evidence, world.epochs).finding is Finding.NOTHING


def test_a_rejection_that_the_auditor_did_not_sign() -> None:
    """An accuser's own batch, or a leaf of his own under a true one: neither is the Auditor's word."""
    world = started()
    request = world.get("a")
    rejection = RejectionEntry(
        envelope_hash=ZERO_HASH, request_id=request.request_id, code="contract.resources", final=True
    )
    other = replace(rejection, request_id=ZERO_HASH)
    rejections = world.reject(other, rejection, as_of=1)
    order, _ = world.order(request)
    honest = world.reject(other, as_of=1)
    true = build.rejected_then_ordered(world.epochs, rejections, 1, order, 0)
    assert judge(true, world.epochs).finding is Finding.GUILTY
    for forged in (
        replace(rejections, signature=honest.signature),
        replace(rejections, header=honest.header, signature=honest.signature),
        replace(rejections, signature=bytes(63) + b"\1"),
    ):
        evidence = build.rejected_then_ordered(world.epochs, forged, 1, order, 0)
        assert judge(evidence, world.epochs).finding is Finding.NOTHING
        two = build.two_rejections(world.epochs, honest, forged)
        assert judge(two, world.epochs).finding is Finding.NOTHING


def journal_leaf(world: World, sequence: int, size: int) -> Leaf:
    """A statement's place in the journal of the first `size`."""
    hashes = [tagged("statement", world.decisions[number].signed.statement) for number in range(size)]
    return Leaf(index=sequence, leaf=hashes[sequence], path=merkle.path(hashes, sequence))


def test_a_past_that_was_not_rewritten() -> None:
    """The journal holds the very statement; or another sequence, or another journal is shown."""
    world = started()
    world.decide(world.get("a"))
    parts = [build.ledger_part(result_of(world.decisions[sequence])) for sequence in range(3)]
    for earlier, later, leaf in (
        (1, 2, journal_leaf(world, 1, 2)),
        (1, 2, journal_leaf(world, 0, 2)),
        (1, 2, replace(journal_leaf(world, 1, 2), leaf=ZERO_HASH)),
        (0, 1, journal_leaf(world, 0, 1)),
        (2, 1, journal_leaf(world, 0, 1)),
    ):
        evidence = build.rewritten_past(world.epochs, "ledger", parts[earlier], parts[later], leaf)
        assert judge(evidence, world.epochs).finding is Finding.NOTHING


def test_at_the_cut_is_not_above_it() -> None:
    """The Ledger's head is the cut; and without the next configuration there is none."""
    world = started()
    part = build.ledger_part(result_of(world.decisions[1]))
    before = world.epochs
    world.begin_epoch()
    for epochs in (before, world.epochs):
        assert judge(build.above_cut(epochs, "ledger", part), epochs).finding is Finding.NOTHING


# --- Keys that were given up ---


def test_a_retired_key_names_the_key() -> None:
    """Whoever has the Ledger's old key can sign anything of old: not the Ledger is named but its key."""
    world = started()
    result = result_of(world.decisions[1])
    forged = world.restate(result, ordered_at_ms=0)
    evidence = build.two_ledger_statements(world.epochs, result, forged)
    world.begin_epoch(ledger="ledger again")
    verdict = judge(evidence, world.epochs, known=world.epochs.signed)
    assert (verdict.finding, verdict.culprit, verdict.status) == (Finding.KEY, LEDGER, "retired")
    assert not verdict.convicts
    assert str(verdict).startswith("KEY(retired): ")
    again = build.two_ledger_statements(world.epochs, result, forged)
    assert judge(again, world.epochs).finding is Finding.KEY


def test_another_partys_new_key_excuses_nobody() -> None:
    """The Auditor has a new key; the Ledger's is what it was."""
    world = started()
    result = result_of(world.decisions[1])
    evidence = build.two_ledger_statements(world.epochs, result, world.restate(result, ordered_at_ms=0))
    world.begin_epoch(auditor="auditor again")
    verdict = judge(evidence, world.epochs, known=world.epochs.signed)
    assert (verdict.finding, verdict.culprit) == (Finding.GUILTY, Culprit("ledger"))
