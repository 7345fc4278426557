"""Decisions that did not arrive are sent again: those the broker lost, and those the Ledger asks for."""

from dataclasses import replace
from typing import Any

import pytest

from auditor.heal import DecisionHealer
from protocol.limits import Limits
from storage.effects import Effect, Event, Publish, ReadOutbox, ReadTail, Received, Report
from tests.unit.auditor.auditor_world import ValidateWorld, Watched, configured

AGAIN_MS = Limits().resend_first_ms


def decided(count: int, **changes: Any) -> tuple[ValidateWorld, Watched]:
    """Decisions that a validating machine has made of so many orders."""
    world = ValidateWorld(configured(**changes))
    for _ in range(count):
        world.order()
    stage = world.validate_stage()
    stage.move()
    for result in world.results:
        world.answer(result)
        stage.move()
    assert world.decided() == list(range(count))
    return world, stage


def look(world: ValidateWorld, healer: DecisionHealer, last: int) -> Watched:
    return world.perform(lambda: healer.look(last))


def answer(world: ValidateWorld, healer: DecisionHealer, now_ms: int, *asked: int) -> list[int]:
    """What is sent again when the Ledger asks for these."""
    before = len(world.decided())
    for sequence in asked:
        healer.ask(sequence)
    world.perform(lambda: healer.answer(now_ms))
    return world.decided()[before:]


# --- Lost tails ---


@pytest.mark.parametrize(("count", "lost"), [(5, 1), (5, 3), (5, 5), (1, 1)])
def test_a_lost_tail_is_sent_again_from_the_first_that_is_missing(count: int, lost: int) -> None:
    """With an alarm; whoever reads from there finds them in order, byte for byte."""
    world, _ = decided(count)
    whole = world.values("decisions")
    world.log.lose_tail("decisions", 0, lost)
    stage = look(world, DecisionHealer(world.epochs), count - 1)
    assert world.values("decisions") == whole
    assert [dict(report.metrics) for report in stage.of(Report)] == [{"alarm_tail_lost": 1}]


def test_a_hole_is_filled_with_all_that_comes_after_it() -> None:
    """A reader goes on by sequence: one decision alone behind the others would be read too late."""
    world, _ = decided(4)
    values = world.values("decisions")
    world.log.lose_tail("decisions", 0, 3)
    for value in values[2:]:
        world.send("decisions", value)
    look(world, DecisionHealer(world.epochs), 3)
    assert world.decided() == [0, 2, 3, 1, 2, 3]


def test_a_whole_tail_is_looked_at_once() -> None:
    """Nothing is sent, and the next look ends with the newest message until the log or the journal has changed."""
    world, _ = decided(3)
    healer = DecisionHealer(world.epochs)
    assert [effect.count for effect in look(world, healer, 2).of(ReadTail)] == [1, 64]
    assert look(world, healer, 2).names() == ["ReadTail"]
    world.send("decisions", b"rubbish")
    assert len(look(world, healer, 2).of(ReadTail)) == 2
    assert look(world, healer, 2).names() == ["ReadTail"]
    world.log.lose_tail("decisions", 0, 2)
    for _ in range(2):
        world.send("decisions", b"rubbish")
    assert len(look(world, healer, 2).of(Publish)) == 1, "as long as before, but of another leader epoch"


def test_a_decision_that_was_lost_at_once_is_missed() -> None:
    """The log ends where it did when it was whole, but more was decided since."""
    world, _ = decided(3)
    world.log.lose_tail("decisions", 0, 1)
    healer = DecisionHealer(world.epochs)
    assert look(world, healer, 1).of(Publish) == []
    look(world, healer, 2)
    assert world.decided() == [0, 1, 2]


def test_a_tail_that_was_healed_is_looked_at_again() -> None:
    """Only what was found whole is not looked at: the healing itself may have been lost."""
    world, _ = decided(2)
    healer = DecisionHealer(world.epochs)
    for _ in range(2):
        world.log.lose_tail("decisions", 0, 1)
        assert len(look(world, healer, 1).of(Publish)) == 1
    assert len(look(world, healer, 1).of(ReadTail)) == 2


def test_a_message_that_only_claims_to_be_a_decision_hides_nothing() -> None:
    """It is known by its bytes, not by its sequence."""
    world, _ = decided(2)
    false = replace(world.decisions()[1], outputs=(b'"altered"',)).to_message()
    world.log.lose_tail("decisions", 0, 1)
    world.send("decisions", false)
    look(world, DecisionHealer(world.epochs), 1)
    assert len(world.values("decisions")) == 3


def test_nothing_is_missing_before_the_first_decision() -> None:
    """And nothing is asked of the outbox."""
    world = ValidateWorld()
    assert look(world, DecisionHealer(world.epochs), -1).names() == ["ReadTail"]


@pytest.mark.parametrize(("window", "looked_after"), [(2, 4), (16, 32), (64, 32)])
def test_only_the_newest_are_looked_after(window: int, looked_after: int) -> None:
    """Two windows, which the outbox holds, and never more than memory allows for; what is older is kept on disks."""
    world, _ = decided(3)
    world.epochs = configured(window=window)
    stage = look(world, DecisionHealer(world.epochs), 99)
    assert stage.of(ReadOutbox)[0].first == 99 - looked_after + 1
    assert stage.of(ReadOutbox)[-1].last == 99
    assert stage.of(ReadTail)[1].count == 2 * looked_after


# --- What the Ledger asks for ---


def test_the_ledger_gets_what_it_asks_for_and_what_it_will_ask_for_next() -> None:
    """From the first to the last, at most eight at once."""
    world, _ = decided(12)
    now_ms = world.log.now_ms
    healer = DecisionHealer(world.epochs)
    assert answer(world, healer, now_ms, 4, 2) == [2, 3, 4]
    healer = DecisionHealer(world.epochs)
    assert answer(world, healer, now_ms, 1, 11) == list(range(1, 9))
    healer = DecisionHealer(world.epochs)
    assert answer(world, healer, now_ms, 3, 10) == list(range(3, 11))


def test_it_is_answered_at_most_once_in_a_while() -> None:
    """Anybody can replay old results; what is asked for meanwhile is answered when the time has come."""
    world, _ = decided(3)
    healer = DecisionHealer(world.epochs)
    assert answer(world, healer, 50_000) == [], "nobody asked, so no time was lost"
    assert answer(world, healer, 50_000, 0) == [0]
    assert answer(world, healer, 50_000 + AGAIN_MS - 1, 1) == []
    assert answer(world, healer, 50_000 + AGAIN_MS) == [1]
    assert answer(world, healer, 50_000 + 2 * AGAIN_MS) == []


# --- In the machine ---


def test_a_decided_result_that_comes_again_is_answered_by_its_decision() -> None:
    """The same bytes; of one that lies two windows back nothing is left to be answered with."""
    world, stage = decided(6, window=2)
    stage.run(2_000)
    before = world.values("decisions")
    world.answer(world.results[2])
    stage.move()
    assert world.values("decisions") == [*before, before[2]]
    stage.run(2_000)
    world.answer(world.results[5])
    stage.move()
    assert world.values("decisions") == [*before, before[2], before[5]]
    stage.run(2_000)
    world.answer(world.results[1])
    stage.move()
    stage.run(2_000)
    assert len(world.values("decisions")) == 8


def test_the_tail_is_looked_at_when_nothing_is_decided_ever_more_rarely() -> None:
    """After 1 s, then 2, 4, ... up to 30 s of silence; a decision starts it anew."""
    world, stage = decided(1)
    world.order()
    looks: list[int] = []

    def watch(effect: Effect) -> Event | None:
        if isinstance(effect, ReadTail) and effect.count == 1:
            looks.append(world.log.now_ms)
            return Received(now_ms=world.log.now_ms, messages=())
        return None

    stage.instead = watch
    start_ms = world.log.now_ms
    stage.run(120_000)
    assert [at - start_ms for at in looks] == [1_000, 3_000, 7_000, 15_000, 31_000, 61_000, 91_000]
    looks.clear()
    world.answer(world.results[1])
    stage.move()
    start_ms = world.log.now_ms
    stage.run(3_500)
    assert [at - start_ms for at in looks] == [1_000, 3_000]


def test_rubbish_provokes_no_look() -> None:
    """Neither at the start nor later: who writes ten times a second must not have the log read as often."""
    world = ValidateWorld()
    stage = world.validate_stage()
    stage.move()
    looks = []
    for tenth in range(1, 71):
        world.log.advance(world.log.now_ms + 100)
        world.send("results", b"rubbish")
        stage.effects.clear()
        stage.move()
        looks += [tenth] if stage.of(ReadTail) else []
    assert looks == [10, 30, 70]


def test_a_tail_that_was_lost_is_found_by_the_machine() -> None:
    """Without anybody asking for it."""
    world, stage = decided(3)
    stage.run(1_000)
    world.log.lose_tail("decisions", 0, 2)
    stage.run(2_000)
    assert world.decided() == [0, 1, 2]
    assert {"alarm_tail_lost": 1} in [dict(report.metrics) for report in stage.of(Report)]
