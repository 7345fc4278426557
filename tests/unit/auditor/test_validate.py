"""The validating machine, effect by effect: what it countersigns, what it holds, and what it skips."""

import gc
from dataclasses import replace

import pytest

from auditor.state import write_sequence
from auditor.validate import HeldResult, ValidateState
from protocol.errors import CountersignError
from protocol.hashing import ZERO_HASH
from schemas.receipt import Receipts
from storage.effects import (
    Apply,
    Effect,
    Event,
    Note,
    Publish,
    ReadOutbox,
    Receive,
    Received,
    Refused,
    Report,
    Seek,
    Sign,
    Verify,
)
from storage.ports import OutboxEntry, OutboxTrim
from tests.gallery.hanging import alter_outcome
from tests.unit.auditor.auditor_world import ValidateWorld, Watched
from tests.unit.auditor.validating import answered, decided, started

VALIDATED = ["Receive", "Verify", "ReadOutbox", "Verify", "Apply", "Note", "Sign", "Publish", "Report"]


def skipped(stage: Watched) -> int:
    return sum(int(report.metrics.get("skipped", 0)) for report in stage.of(Report))


# --- Equal results ---


def test_an_equal_result_is_stored_then_noted_then_signed_then_sent() -> None:
    """The decision waits in the outbox before anything is signed; order and endorsement are signed together."""
    world, stage = started(1)
    assert stage.names() == ["Load", "Seek", "ReadGuard"]
    stage.effects.clear()
    answered(world, stage, world.results[0])
    assert stage.names() == VALIDATED
    (call,) = (apply.call for apply in stage.of(Apply))
    assert call.expected_cells == {
        "store_id": world.epochs.latest.auditor_store_id,
        "epoch": bytes(8),
        "stopped": b"",
        "decided": write_sequence(-1),
    }
    assert call.outbox_put == (OutboxEntry("decision", 0, world.results[0].ledger_signature),)
    assert call.outbox_trim == (OutboxTrim("decision", -2 * 64),)
    assert call.cells["decided"] == write_sequence(0)
    assert call.cells["delivered"] == write_sequence(-1), "nobody knows yet whether the broker has it"
    assert world.decided() == [0]
    assert Receipts.from_message(world.values("receipts")[0]).outcomes == world.updates[0].outcomes


@pytest.mark.parametrize("effect", [Apply, Note, Sign, Publish])
def test_whatever_it_is_stopped_before_the_decision_comes_out_once_and_alike(effect: type) -> None:
    """Nothing leaves before; after a restart it is sent from the outbox, the same bytes as ever."""
    world, stage = started(1)
    world.answer(world.results[0])
    stage.move(until=effect)
    done = [Apply, Note, Sign, Publish].index(effect)
    assert world.values("decisions") == world.values("receipts") == []
    assert decided(world) == (-1 if done == 0 else 0)
    assert (world.disks.guard.highest("statement") is not None) == (done > 1)
    stage.crash()
    stage.move()
    stage.crash()
    stage.move()
    assert set(world.decided()) == {0}
    assert len(set(world.values("decisions"))) == len(set(world.values("receipts"))) == 1


def test_results_are_countersigned_together_as_far_as_they_go() -> None:
    """One call, one note, one message each; what is above a gap waits, and is settled with what fills it."""
    world, stage = started(5)
    answered(world, stage, *[world.results[number] for number in (1, 0, 3, 4)])
    assert world.decided() == [0, 1]
    assert len(stage.of(Apply)) == 1
    answered(world, stage, world.results[2])
    assert world.decided() == [0, 1, 2, 3, 4]
    assert [len(apply.call.outbox_put) for apply in stage.of(Apply)] == [2, 3]
    assert [(read.kind, read.first, read.last) for read in stage.of(ReadOutbox)] == [("order", 0, 1), ("order", 2, 4)]
    assert [report.metrics["gauge_decided"] for report in stage.of(Report)] == [1, 4]


def test_what_was_decided_is_reported() -> None:
    """Requests and decisions apart, and how long each had waited."""
    world = ValidateWorld()
    world.order(world.put("a", 1), world.put("b", 1))
    world.log.advance(world.log.now_ms + 10)
    world.order()
    stage = world.validate_stage()
    stage.move()
    world.log.advance(world.clients.now_ms + 100)
    world.order()
    world.log.now_ms = world.clients.now_ms - 1  # a clock that lags behind the order's
    answered(world, stage, *world.results)
    assert stage.of(Report)[-1].metrics == {
        "decided": 4,
        "decisions": 3,
        "decide_ms_sum": 110 + 100,
        "gauge_decided": 2,
    }


def test_how_far_it_is_is_said_at_the_start() -> None:
    """Nothing may come for long, and whoever looks would take the line to be at its beginning."""
    world, stage = started(2)
    assert stage.of(Report) == [], "nothing was decided yet"
    answered(world, stage, *world.results)
    stage.crash()
    stage.effects.clear()
    stage.move()
    assert [report.metrics for report in stage.of(Report)] == [{"gauge_decided": 1}]


def test_a_result_for_an_order_that_is_not_known_is_waited_on() -> None:
    """It is held, not judged; when the order is there it is decided without being sent again."""
    world, stage = started(0)
    world.order(stored=False)
    answered(world, stage, world.results[0])
    assert (world.values("decisions"), stage.halt) == ([], None)
    assert isinstance(stage.effect, Receive)
    world.store_order(0)
    stage.run(1_000)
    assert world.decided() == [0]


def test_only_what_lies_within_the_window_is_held() -> None:
    """The last sequence of the window is, the next one is not even verified: the queue is bounded."""
    world, stage = started(4, window=2)
    answered(world, stage, world.results[2])
    assert stage.of(Verify) == []
    answered(world, stage, world.results[1])
    answered(world, stage, world.results[0])
    assert world.decided() == [0, 1]
    answered(world, stage, world.results[2])
    assert world.decided() == [0, 1, 2]


def test_a_result_is_decided_once() -> None:
    """Sent again while it is held it is dropped; sent again later it makes no second call."""
    world, stage = started(2)
    answered(world, stage, world.results[1], world.results[1], world.results[0], world.results[0])
    answered(world, stage, world.results[0])
    assert sorted(set(world.decided())) == [0, 1]
    assert [len(apply.call.outbox_put) for apply in stage.of(Apply)] == [2]


@pytest.mark.parametrize("value", [b"", b"rubbish", None])
def test_what_is_no_result_is_skipped(value: bytes | None) -> None:
    """Counted, and nothing else; what comes after it is taken."""
    world, stage = started(1)
    world.send("results", value or b"")
    result = world.results[0]
    world.send("results", replace(result, statement=b"rubbish").to_message())
    answered(world, stage, result)
    assert skipped(stage) == 2
    assert world.decided() == [0]


def test_what_the_ledger_has_not_signed_is_skipped() -> None:
    """Also where it differs: nobody can make the Auditor dispute, or hold rubbish in the place of the real result."""
    world, stage = started(1)
    honest = world.results[0]
    liar = world.clients.restate(honest, alter_outcome(honest.outcomes, 0, output_hash=ZERO_HASH))
    forged = replace(liar, ledger_signature=honest.ledger_signature)
    answered(world, stage, forged, honest)
    assert skipped(stage) == 1
    assert world.decided() == [0]


def test_a_result_of_another_epoch_is_passed_over() -> None:
    """It is nobody's fault, and nothing to be verified."""
    world, stage = started(1)
    answered(world, stage, world.clients.restate(world.results[0], epoch=1))
    assert (stage.of(Verify), world.values("decisions"), skipped(stage)) == ([], [], 0)


def test_what_its_outcomes_were_on_the_way_does_not_matter_where_the_statement_is_equal() -> None:
    """The decision is made of the Auditor's own, which the statement fixes."""
    world, stage = started(1)
    answered(world, stage, replace(world.results[0], outcomes=()))
    assert world.decisions()[0].outcomes == world.updates[0].outcomes


def held_results() -> int:
    """How many results are held, by whomever."""
    gc.collect()
    return sum(isinstance(each, HeldResult) for each in gc.get_objects())


def test_what_is_decided_is_not_held_any_longer() -> None:
    """Memory is bounded by the window, however long the machine lives."""
    world, stage = started(4)
    before = held_results()
    answered(world, stage, world.results[3], world.results[0], world.results[1])
    assert world.decided() == [0, 1]
    assert held_results() == before + 1


# --- Refused calls and restarts ---


def test_a_refused_call_signs_nothing_and_loads_again() -> None:
    """Results are read again from the stored position, so the decision is made in the end."""
    world, stage = started(1)

    def refuse(effect: Effect) -> Event | None:
        if not isinstance(effect, Apply):
            return None
        stage.instead = lambda _: None
        return Refused(now_ms=world.log.now_ms, reason="cell", cells={})

    stage.instead = refuse
    stage.effects.clear()
    answered(world, stage, world.results[0])
    names = stage.names()
    assert names[names.index("Apply") :][:4] == ["Apply", "Report", "Load", "Seek"]
    assert next(report.metrics for report in stage.of(Report)) == {"refused_cell": 1}
    assert (world.decided(), decided(world)) == ([0], 0)


def test_another_process_was_active() -> None:
    """Whoever comes second is refused by the cell, and sends what the first one decided, byte for byte."""
    world, first = started(1)
    second = world.validate_stage()
    second.move()
    before = held_results()
    world.answer(world.results[0])
    first.move(until=Apply)
    second.move()
    first.move()
    assert next(list(report.metrics) for report in first.of(Report)) == ["refused_cell"]
    assert world.decided() == [0, 0]
    assert len(set(world.values("decisions"))) == 1
    assert held_results() == before


def test_a_restart_reads_on_behind_what_is_decided_and_sends_what_may_not_have_arrived() -> None:
    """`delivered` lies one call behind: the broker had everything up to it."""
    world, stage = started(4)
    for result in world.results[:3]:
        answered(world, stage, result)
    stage.crash()
    stage.effects.clear()
    stage.move()
    assert stage.names()[:3] == ["Load", "Seek", "ReadGuard"]
    (position,) = stage.of(Seek)[0].positions
    assert (position.topic, position.partition, position.offset, position.leader_epoch) == ("results", 0, 3, 0)
    assert world.decided() == [0, 1, 2, 2]
    answered(world, stage, world.results[3])
    assert world.decided() == [0, 1, 2, 2, 3]
    assert stage.of(Apply)[-1].call.cells["delivered"] == write_sequence(2)


def test_a_new_machine_reads_from_the_start() -> None:
    """With a position that names the leader epoch once there is one."""
    world, stage = started(1)
    assert stage.of(Seek)[0].positions == (("results", 0, -2, -1),)
    world.log.lose_tail("results", 0, 0)
    answered(world, stage, world.results[0])
    stage.crash()
    stage.move()
    assert stage.of(Seek)[-1].positions == (("results", 0, 1, 1),)


@pytest.mark.parametrize("leader_epoch", [-1, 0, 2**31 - 1])
def test_every_leader_epoch_comes_back_from_the_store(leader_epoch: int) -> None:
    """An unknown one too: a log that names none must not look as if it had lost its tail."""
    world, stage = started(1)
    world.answer(world.results[0])
    (message,) = world.log.messages("results")

    def bend(effect: Effect) -> Event | None:
        if not isinstance(effect, Receive):
            return None
        stage.instead = lambda _: None
        return Received(now_ms=world.log.now_ms, messages=(message._replace(leader_epoch=leader_epoch, offset=2**40),))

    stage.instead = bend
    stage.move(until=Publish)
    stage.crash()
    stage.move(until=Receive)
    assert stage.of(Seek)[-1].positions == (("results", 0, 2**40 + 1, leader_epoch),)


def test_a_lost_guard_is_filled_before_anything_is_signed_again() -> None:
    """From the oldest decision in the outbox, so that sending them again never meets a guard that began later."""
    world, stage = started(3)
    answered(world, stage, *world.results)
    world.disks.guard = type(world.disks.guard)()
    stage.crash()
    stage.effects.clear()
    stage.move()
    assert next([place.sequence for place in note.places] for note in stage.of(Note)) == [0, 1, 2]
    assert stage.of(Seek)[0].positions[0].offset == 3, "behind all that were decided together"


def test_its_state_comes_back_from_its_cells() -> None:
    """A cell that is missing, or none of ours, is the store's damage."""
    state = ValidateState(store_id=b"s", epoch=bytes(8), decided=4, delivered=3, position=b"p")
    cells = {**state.cells(), "store_id": b"s", "epoch": bytes(8)}
    assert ValidateState.from_cells(cells) == state
    for name in ("store_id", "epoch", "decided", "delivered"):
        with pytest.raises(CountersignError) as damaged:
            ValidateState.from_cells({n: cell for n, cell in cells.items() if n != name})
        assert damaged.value.code == "store.damaged"
