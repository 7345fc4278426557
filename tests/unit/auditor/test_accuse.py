"""Accusing the Ledger: every kind of lie becomes evidence that convicts it, and what does not names nobody."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from auditor.accuse import Accusation, Accuser
from protocol import merkle
from protocol.evidence import kinds
from protocol.evidence.verdicts import LEDGER
from protocol.evidence.verify import verify_evidence
from protocol.hashing import ZERO_HASH, tagged
from protocol.signatures import auditor_endorsement_input, order_hash, statement_hash
from protocol.signing import verify_key
from schemas.evidence import Evidence
from schemas.exhibit import AuditorStatement
from schemas.outcome import Outcome
from schemas.statement import Result, Statement
from storage.effects import Fetch, FindDecisions, Note, Sign
from storage.machine import Steps
from storage.ports import Place, RecordWrite, StoreCall, Stored, Version
from tests.gallery.hanging import A, alter_outcome, engine
from tests.parties import key_of
from tests.unit.auditor.auditor_world import ValidateWorld, Watched

FALSE_HASH = tagged("record", b"something else")


class Court:
    """Batches that both parties agreed upon, and one that is disputed."""

    def __init__(self, *, batches: int = 3) -> None:
        self.world = ValidateWorld()
        for _ in range(batches):
            self.world.order()
        stage = self.world.validate_stage()
        stage.move()
        self.world.answer(*self.world.results)
        stage.move()
        assert self.world.decided() == list(range(batches))
        self.said: list[Accusation] = []

    def accuse(self, result: Result, sequence: int = -1) -> Watched:
        """Have the Accuser look at a result."""
        mine = self.world.updates[sequence]

        def run() -> Steps:
            self.said.append((yield from Accuser(self.world.epochs).accuse(mine, result)))

        return self.world.perform(run)

    @property
    def evidence(self) -> Evidence:
        """What was raised."""
        assert self.said[-1].evidence is not None
        return Evidence.from_message(self.said[-1].evidence)

    def check_ledger_convicted(self, kind: str) -> None:
        """Require that a third party, who has the ledger's id and the file, convicts the Ledger."""
        verdict = verify_evidence(self.evidence.to_bytes(), self.world.epochs.ledger_id, engine())
        assert verdict.culprit == LEDGER
        assert self.evidence.kind == kind
        assert self.said[-1].code == "evidence.raised"
        assert "ledger" in self.said[-1].text

    def check_nobody_accused(self, stage: Watched) -> None:
        """Require that nothing was signed, and that the Auditor is told to halt."""
        accusation = self.said[-1]
        assert (accusation.evidence, accusation.code) == (None, "store.contradicts_log")
        assert accusation.text
        assert (stage.of(Note), stage.of(Sign)) == ([], [])


def disputed(get: bool = True) -> tuple[Court, Result]:
    """A court before which an honest result lies, of a batch that reads what earlier ones wrote."""
    court = Court()
    world = court.world
    world.log.advance(world.clients.now_ms)
    return court, world.order(world.clients.get("a") if get else world.put("a", 9))


# --- Every kind of lie ---


def test_a_false_output_is_shown_by_executing_again() -> None:
    """With the records that were read; the Auditor's own leaf is shown too, so it signs its own statement for it."""
    court, honest = disputed()
    lie = court.world.clients.restate(honest, alter_outcome(honest.outcomes, 0, output_hash=ZERO_HASH))
    stage = court.accuse(lie)
    court.check_ledger_convicted(kinds.EXECUTION)
    assert stage.names() == ["FindDecisions", "Note", "Sign"]
    own = court.world.updates[-1]
    parsed = Statement.from_bytes(own.statement)
    place = Place("statement", 0, 3, statement_hash(own.statement), parsed.previous_statement_hash)
    assert stage.of(Note)[0].places == (place,)
    signed = auditor_endorsement_input(court.world.epochs.ledger_id, 0, own.statement, own.salt)
    assert stage.of(Sign)[0].messages == (signed,)
    (shown,) = [part.data for part in court.evidence.parts if part.name == "auditor statement"]
    by_auditor = AuditorStatement.from_bytes(shown)
    assert by_auditor.statement == own.statement
    verify_key(*key_of("auditor").public_key).verify(signed, by_auditor.auditor_signature)


def test_only_the_decisions_that_the_evidence_needs_are_searched_for() -> None:
    """Those that wrote what the request read: each search reads the whole topic."""
    court, honest = disputed()
    lie = court.world.clients.restate(honest, alter_outcome(honest.outcomes, 0, output_hash=ZERO_HASH))
    stage = court.accuse(lie)
    assert [find.sequences for find in stage.of(FindDecisions)] == [(2,)]
    first = Court(batches=0)
    honest = first.world.order()
    stage = first.accuse(first.world.clients.restate(honest, alter_outcome(honest.outcomes, 0, output_hash=ZERO_HASH)))
    first.check_ledger_convicted(kinds.EXECUTION)
    assert stage.of(FindDecisions) == [], "it read the genesis only"


def test_what_a_contract_saw_of_the_past_is_fetched() -> None:
    """Older versions come from the Auditor's store, newest first; those that it needs are in the file."""
    court = Court()
    world = court.world
    world.log.advance(world.clients.now_ms)
    versions = world.clients.auditor.history[A]
    assert len(versions) == 3
    call = StoreCall(expected_cells={}, cells={}, writes=[RecordWrite(A, record) for record in versions])
    assert isinstance(world.disks.store.apply(call), Stored)
    honest = world.order(world.clients.request("object.history", {"key": "a", "limit": 3}))
    stage = court.accuse(world.clients.restate(honest, alter_outcome(honest.outcomes, 0, output_hash=ZERO_HASH)))
    court.check_ledger_convicted(kinds.EXECUTION)
    assert [fetch.versions for fetch in stage.of(Fetch)] == [(Version(A, 2), Version(A, 1))]


LIES: dict[str, tuple[str, Callable[[Court, Result], Result]]] = {
    "a header copied wrongly": (
        kinds.LEAF_CONTRADICTION,
        lambda court, result: court.world.clients.restate(result, ordered_at_ms=7),
    ),
    "another predecessor": (
        kinds.LEAF_CONTRADICTION,
        lambda court, result: court.world.clients.restate(result, previous_statement_hash=FALSE_HASH),
    ),
    "another journal": (
        kinds.LEAF_CONTRADICTION,
        lambda court, result: court.world.clients.restate(result, journal_root=FALSE_HASH),
    ),
    "another request": (
        kinds.LEAF_CONTRADICTION,
        lambda court, result: court.world.clients.restate(
            result, alter_outcome(result.outcomes, 0, request_id=FALSE_HASH)
        ),
    ),
    "another version": (
        kinds.LEAF_CONTRADICTION,
        lambda court, result: court.world.clients.restate(
            result, alter_outcome(result.outcomes, 0, reads=read_of(result, version=9))
        ),
    ),
    "another record": (
        kinds.LEAF_CONTRADICTION,
        lambda court, result: court.world.clients.restate(
            result, alter_outcome(result.outcomes, 0, reads=read_of(result, record_hash=FALSE_HASH))
        ),
    ),
    "no outcome": (kinds.LEAF_CONTRADICTION, lambda court, result: court.world.clients.restate(result, (b"rubbish",))),
    "an order that was never signed": (
        kinds.UNSIGNED_ORDER,
        lambda court, result: court.world.clients.sign_result(
            replace(Statement.from_bytes(result.statement), order_hash=FALSE_HASH),
            result.order_signature,
            result.outcomes,
        ),
    ),
}


def read_of(result: Result, **changes: Any) -> tuple[Any, ...]:
    """The reads of the first outcome, the one of the object changed."""
    reads = Outcome.from_bytes(result.outcomes[0]).reads
    return tuple(read._replace(**changes) if (read.namespace, read.key) == A else read for read in reads)


@pytest.mark.parametrize("name", LIES)
def test_every_other_lie_convicts_by_itself(name: str) -> None:
    """What the Ledger signed contradicts what both signed before, or itself: nobody need execute anything."""
    kind, bend = LIES[name]
    court, honest = disputed()
    court.accuse(bend(court, honest))
    court.check_ledger_convicted(kind)


def test_the_journal_before_is_searched_a_portion_at_a_time() -> None:
    """All decisions before the last one: each search reads the whole topic, and memory is bounded."""
    court = Court(batches=66)
    world = court.world
    world.log.advance(world.clients.now_ms)
    honest = world.order()
    stage = court.accuse(world.clients.restate(honest, journal_root=FALSE_HASH))
    court.check_ledger_convicted(kinds.LEAF_CONTRADICTION)
    searched = [(find.sequences[0], find.sequences[-1], len(find.sequences)) for find in stage.of(FindDecisions)]
    assert searched == [(65, 65, 1), (0, 63, 64), (64, 64, 1)]


# --- Nobody accused ---


def test_where_its_own_leaf_is_false_it_accuses_nobody() -> None:
    """A third party would convict the Auditor."""
    court = Court()
    world = court.world
    world.log.advance(world.clients.now_ms)
    world.clients.auditor.alter(A, 99)
    honest = world.order(world.clients.get("a"))
    court.check_nobody_accused(court.accuse(honest))


def test_where_executing_again_convicts_the_auditor_it_accuses_nobody() -> None:
    """Its own outcome is the one that does not come out: the verdict has a culprit, and that is itself."""
    court, honest = disputed()
    own = court.world.updates[-1]
    outcomes = alter_outcome(own.outcomes, 0, output_hash=ZERO_HASH)
    statement = replace(Statement.from_bytes(own.statement), outcomes_root=merkle.root(outcomes))
    court.world.updates[-1] = replace(own, outcomes=outcomes, statement=statement.to_bytes())
    court.check_nobody_accused(court.accuse(honest))
    assert "GUILTY(auditor)" in court.said[-1].text


def test_what_differs_in_nothing_is_no_accusation() -> None:
    """Two equal statements prove nothing, and somebody's machine is out of order."""
    court, honest = disputed()
    court.check_nobody_accused(court.accuse(honest))


def test_another_order_that_the_auditor_signed_is_its_own_fault() -> None:
    """The Ledger did what it was told to do, and nobody can say that it did not."""
    court, honest = disputed()
    world = court.world
    header = world.clients.header((), ZERO_HASH)
    other = world.clients.sign_order(header, ())
    statement = replace(Statement.from_bytes(honest.statement), order_hash=order_hash(other.header))
    result = world.clients.sign_result(statement, other.signature, honest.outcomes)
    court.check_nobody_accused(court.accuse(result))


def test_without_the_decisions_that_it_takes_nothing_is_proven() -> None:
    """`decisions` may have been shortened: it says what is missing, and accuses nobody."""
    court, honest = disputed()
    court.world.log.expire("decisions", 0, 3)
    lie = court.world.clients.restate(honest, alter_outcome(honest.outcomes, 0, output_hash=ZERO_HASH))
    stage = court.accuse(lie)
    court.check_nobody_accused(stage)
    assert "2" in court.said[-1].text


def test_a_journal_with_a_hole_proves_nothing() -> None:
    """The root before this one is over all of them."""
    court, honest = disputed()
    values = court.world.values("decisions")
    court.world.log.lose_tail("decisions", 0, 2)
    court.world.send("decisions", values[2])
    court.check_nobody_accused(court.accuse(court.world.clients.restate(honest, journal_root=FALSE_HASH)))
    assert court.said[-1].text == "decision 1 is missing"


def test_rubbish_among_the_decisions_is_passed_over() -> None:
    """Anybody can write to the topic; what is authentic is taken."""
    court, honest = disputed()
    values = court.world.values("decisions")
    court.world.log.lose_tail("decisions", 0, 1)
    for value in (b"", b"rubbish", values[2][:-1] + b"\0", values[2]):
        court.world.send("decisions", value)
    lie = court.world.clients.restate(honest, alter_outcome(honest.outcomes, 0, output_hash=ZERO_HASH))
    court.accuse(lie)
    court.check_ledger_convicted(kinds.EXECUTION)
