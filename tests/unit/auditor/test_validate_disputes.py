"""Results that differ: evidence where the Auditor's own verifier convicts the Ledger, and a halt where it does not."""

from dataclasses import replace
from typing import Any

from auditor.state import write_sequence
from protocol.evidence.verdicts import LEDGER
from protocol.evidence.verify import verify_evidence
from protocol.hashing import ZERO_HASH
from protocol.records import RecordKey
from protocol.signatures import order_hash
from schemas.evidence import Evidence
from schemas.statement import Result, Statement
from storage.effects import (
    Apply,
    Effect,
    Event,
    FindDecisions,
    Note,
    Publish,
    Refused,
    Report,
)
from storage.ports import OutboxEntry
from tests.gallery.hanging import alter_outcome, engine
from tests.parties import key_of
from tests.unit.auditor.auditor_world import ValidateWorld
from tests.unit.auditor.validating import answered, decided, started


def lie(world: ValidateWorld, sequence: int) -> Result:
    """A result that the Ledger signed and nobody can reproduce."""
    honest = world.results[sequence]
    return world.clients.restate(honest, alter_outcome(honest.outcomes, 0, output_hash=ZERO_HASH))


def judged(world: ValidateWorld) -> list[Any]:
    """What an offline verifier says of everything on `evidence`."""
    return [
        verify_evidence(Evidence.body_of(value), world.epochs.ledger_id, engine()).culprit
        for value in world.values("evidence")
    ]


def test_a_lie_is_evidence_and_the_end() -> None:
    """Judged first, then noted and signed, then stored with the word that stops ordering, then sent."""
    world, stage = started(2)
    answered(world, stage, world.results[0])
    stage.effects.clear()
    answered(world, stage, lie(world, 1))
    assert stage.halt is not None
    assert stage.halt.code == "evidence.raised"
    names = stage.names()
    assert names[names.index("Note") :] == ["Note", "Sign", "Apply", "Publish"]
    assert judged(world) == [LEDGER]
    cells = world.disks.store.load().cells
    assert cells["stopped"].decode() == stage.halt.text
    assert (decided(world), world.decided()) == (0, [0])
    (call,) = (apply.call for apply in stage.of(Apply))
    assert call.expected_cells["decided"] == write_sequence(0)
    assert call.outbox_put == (OutboxEntry("evidence", 1, world.values("evidence")[0]),)


def test_what_lies_below_a_lie_is_settled_first() -> None:
    """Everything below is decided in a call of its own; nothing at or above it ever is."""
    world, stage = started(4)
    answered(world, stage, world.results[0], world.results[1], lie(world, 2), world.results[3])
    assert (world.decided(), world.values("evidence")) == ([0, 1], [])
    stage.run(1_000)
    assert world.decided() == [0, 1]
    assert judged(world) == [LEDGER]
    stage.crash()
    stage.move()
    assert world.decided() == [0, 1]


def test_an_order_signature_that_the_auditor_never_made_convicts_the_ledger() -> None:
    """It stands inside the Ledger's own endorsement, of the very statement that the Auditor would have signed."""
    world, stage = started(1)
    honest = world.results[0]
    forged = key_of("eve").sign(b"anything")
    result = world.clients.sign_result(statement_of(honest), forged, honest.outcomes)
    assert result.statement == honest.statement
    answered(world, stage, result)
    assert stage.halt is not None
    assert stage.halt.code == "evidence.raised"
    assert judged(world) == [LEDGER]
    assert (stage.of(FindDecisions), world.values("decisions")) == ([], [])


def statement_of(result: Result) -> Statement:
    return Statement.from_bytes(result.statement)


def test_another_order_that_the_auditor_signed_halts_it() -> None:
    """Its log and its store contradict each other: it accuses nobody, and says what it saw."""
    world = ValidateWorld()
    other, _ = world.clients.order(world.put("a", 9), store=False)
    mine = world.order()
    stage = world.validate_stage()
    stage.move()
    statement = replace(statement_of(mine), order_hash=order_hash(other.header))
    answered(world, stage, world.clients.sign_result(statement, other.signature, mine.outcomes))
    assert stage.halt is not None
    assert stage.halt.code == "store.contradicts_log"
    assert "another order" in stage.halt.text
    assert (world.values("evidence"), world.values("decisions"), stage.of(Note)) == ([], [], [])
    assert "stopped" not in world.disks.store.load().cells


def test_where_its_own_verifier_names_the_auditor_it_halts() -> None:
    """Its own record was altered: the Ledger is honest, and nothing is published or signed."""
    world = ValidateWorld()
    world.order(world.put("a", 1))
    world.clients.auditor.alter(RecordKey("object", "a"), 99)
    world.order(world.clients.get("a"))
    stage = world.validate_stage()
    stage.move()
    answered(world, stage, *world.results)
    stage.run(1_000)
    assert stage.halt is not None
    assert stage.halt.code == "store.contradicts_log"
    assert (world.values("evidence"), world.decided()) == ([], [0])
    assert "stopped" not in world.disks.store.load().cells


def test_outcomes_altered_on_the_way_are_waited_for_again() -> None:
    """Beside a statement that differs they must be those that the Ledger signed: else the broker could halt us."""
    world, stage = started(1)
    liar = lie(world, 0)
    answered(world, stage, replace(liar, outcomes=world.updates[0].outcomes))
    assert (stage.halt, world.values("evidence")) == (None, [])
    answered(world, stage, liar)
    assert judged(world) == [LEDGER]


def test_an_accusation_that_may_not_have_been_sent_is_sent_at_the_next_start() -> None:
    """It waits in the outbox like everything else; the same bytes, and then the end."""
    world, stage = started(1)
    world.answer(lie(world, 0))
    stage.move(until=Apply)
    assert "stopped" not in world.disks.store.load().cells
    stage.move(until=Publish)
    assert world.values("evidence") == []
    for _ in range(2):
        stage.crash()
        stage.move()
        assert stage.halt is not None
        assert stage.halt.code == "evidence.raised"
        assert stage.halt.text == world.disks.store.load().cells["stopped"].decode()
    assert judged(world) == [LEDGER, LEDGER]
    assert len(set(world.values("evidence"))) == 1
    assert stage.names()[-3:] == ["Load", "ReadOutbox", "Publish"]


def test_a_refused_accusation_is_met_like_any_other_refusal() -> None:
    """Its own call may have got in already: it loads, and finds what is to be sent; nothing is raised by guesswork."""
    world, stage = started(1)

    def twice(effect: Effect) -> Event | None:
        if not isinstance(effect, Apply):
            return None
        stage.instead = lambda _: None
        world.disks.store.apply(effect.call)
        return Refused(now_ms=world.log.now_ms, reason="cell", cells={})

    stage.instead = twice
    answered(world, stage, lie(world, 0))
    assert {"refused_cell": 1} in [report.metrics for report in stage.of(Report)]
    assert stage.halt is not None
    assert stage.halt.code == "evidence.raised"
    assert judged(world) == [LEDGER]


def test_a_disputed_sequence_that_another_process_decided_is_not_stopped() -> None:
    """The Ledger's second result came to somebody who did not know of the first: the store knows better."""
    world, stage = started(1)
    world.answer(lie(world, 0))
    stage.move(until=Apply)
    world.store(OutboxEntry("decision", 0, world.results[0].ledger_signature), decided=write_sequence(0))
    stage.move()
    assert stage.halt is None
    assert (world.values("evidence"), set(world.decided())) == ([], {0})
    assert "stopped" not in world.disks.store.load().cells
