"""The ordering machine and time: the window, sending again after silence, and blocks that stay half full."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

from auditor.state import write_sequence
from protocol.limits import Limits
from protocol.requests import OpenedRequest
from storage.effects import Await, Publish, Receive
from tests.unit.auditor.auditor_world import AuditorWorld, Watched, configured
from tests.worlds import MINUTE_MS

HALF_FULL_MS = Limits().block_half_full_ms


def started(limits: Limits | None = None, **changes: Any) -> tuple[AuditorWorld, Watched]:
    """An ordering machine that waits for its first request; a block of one update is never half full."""
    world = AuditorWorld(configured(limits, **{"block_updates": 1, **changes}))
    stage = world.order_stage()
    stage.move()
    return world, stage


def ask_and_move(world: AuditorWorld, stage: Watched, *requests: OpenedRequest) -> None:
    world.ask(*requests)
    stage.move()


def decide(world: AuditorWorld, sequence: int) -> None:
    """What the validating machine does."""
    world.store(decided=write_sequence(sequence))


# --- The window ---


def test_at_most_a_window_is_ordered_beyond_the_last_decision() -> None:
    """Then it waits for a decision, and for nothing else; with each one it goes on by one."""
    world, stage = started(replace(Limits(), batch_requests=1), window=2)
    world.ask(*[world.put("a", number) for number in range(4)])
    stage.move()
    assert world.counts() == [1, 1]
    assert stage.effect == Await(cell="decided", value_to_differ_from=write_sequence(-1), timeout_ms=1_000)
    decide(world, 0)
    stage.move()
    assert world.counts() == [1, 1, 1]
    assert isinstance(stage.effect, Await)
    assert stage.effect.value_to_differ_from == write_sequence(0)
    decide(world, 2)
    stage.move()
    assert world.counts() == [1, 1, 1, 1]
    assert isinstance(stage.effect, Receive)


# --- Sending again ---


def test_undecided_orders_are_sent_again_ever_more_rarely() -> None:
    """After 1 s, then 2, 4, ... up to the longest, whatever comes in meanwhile; always all of them, the same bytes."""
    world, stage = started(replace(Limits(), resend_longest_ms=4_000))
    start_ms = world.log.now_ms
    ask_and_move(world, stage, world.put("a", 1))
    world.log.advance(start_ms + 100)
    ask_and_move(world, stage, world.put("a", 2))
    first = world.values("orders")
    sent_at = []
    for _ in range(200):
        before = len(world.values("orders"))
        world.send("requests", b"rubbish")
        stage.move()
        if len(world.values("orders")) > before:
            sent_at.append(world.log.now_ms)
        world.log.advance(world.log.now_ms + 100)
    gaps_ms = [after - before for before, after in pairwise([start_ms, *sent_at])]
    assert gaps_ms == [1_000, 2_000, 4_000, 4_000, 4_000, 4_000]
    assert world.values("orders")[2:6] == first * 2


def test_a_decision_ends_the_silence() -> None:
    """The clock of sending again starts anew, with the first interval; what is decided is not sent again."""
    world, stage = started()
    world.ask(world.put("a", 1))
    stage.move()
    world.log.advance(world.log.now_ms + 10)
    world.ask(world.put("a", 2))
    stage.move()
    stage.run(3_500)
    decide(world, 0)
    stage.run(4_000)
    before = len(world.orders())
    world.ask(world.put("a", 3))
    stage.move()
    stage.run(900)
    assert len(world.orders()) == before + 1
    stage.run(100)
    assert [header.sequence for header in world.headers()[before + 1 :]] == [1, 2]


def test_nothing_is_sent_again_when_all_is_decided() -> None:
    """However long it is quiet."""
    world, stage = started()
    world.ask(world.put("a", 1))
    stage.move()
    decide(world, 0)
    stage.run(120_000)
    assert world.counts() == [1]


# --- Half-full blocks ---


def test_a_block_that_stays_half_full_is_filled() -> None:
    """After half a second to the millisecond, one empty batch at a time, until the block is whole; no further."""
    world, stage = started(block_updates=4)
    ask_and_move(world, stage, world.put("a", 1))
    decide(world, 0)
    assert isinstance(stage.effect, Receive)
    assert stage.effect.wait_ms == HALF_FULL_MS
    stage.run(HALF_FULL_MS - 1)
    assert world.counts() == [1]
    stage.run(1)
    assert [header.kind for header in world.headers()] == ["normal", "empty"]
    stage.run(2 * HALF_FULL_MS - 1)
    assert len(world.headers()) == 3
    stage.run(60_000)
    sequences = {header.sequence: header.kind for header in world.headers()}
    assert list(sequences.values()) == ["normal", "empty", "empty", "empty"]


def test_a_whole_block_waits_for_as_long_as_it_is_quiet() -> None:
    """Neither an empty journal nor a full block is half full."""
    world, stage = started(block_updates=2)
    assert isinstance(stage.effect, Receive)
    assert stage.effect.wait_ms == Limits().resend_first_ms
    ask_and_move(world, stage, world.put("a", 1))
    ask_and_move(world, stage, world.put("a", 2))
    assert isinstance(stage.effect, Receive)
    assert stage.effect.wait_ms == Limits().resend_first_ms
    decide(world, 1)
    stage.run(MINUTE_MS)
    assert len(world.headers()) == 2


def test_what_is_only_rejected_does_not_put_off_the_filling() -> None:
    """Whoever sends rubbish ten times a second must not keep a decided request from the learners."""
    world, stage = started(block_updates=2)
    ask_and_move(world, stage, world.put("a", 1))
    decide(world, 0)
    for _ in range(5):
        stage.run(HALF_FULL_MS // 5)
        ask_and_move(world, stage, world.clients.request("no.contract", {}))
    assert [header.kind for header in world.headers()] == ["normal", "empty"]
    assert set(world.codes()) == {"contract.unknown"}


def test_a_request_in_time_makes_no_empty_batch() -> None:
    """The batch that fills the block is a normal one, also when filling is due."""
    world, stage = started(block_updates=2)
    ask_and_move(world, stage, world.put("a", 1))
    decide(world, 0)
    world.log.now_ms += HALF_FULL_MS
    ask_and_move(world, stage, world.put("a", 2))
    assert [header.kind for header in world.headers()] == ["normal", "normal"]


def test_every_order_starts_the_wait_anew() -> None:
    """A block that grows now and then is not filled meanwhile."""
    world, stage = started(block_updates=8)
    for number in range(4):
        ask_and_move(world, stage, world.put("a", number))
        decide(world, number)
        stage.run(HALF_FULL_MS // 2)
        world.send("requests", b"rubbish")
        stage.run(HALF_FULL_MS // 2 - 1)
        world.send("requests", b"rubbish")
        stage.move()
    assert [header.kind for header in world.headers()] == ["normal"] * 4


def test_a_restart_waits_as_long_as_a_running_machine() -> None:
    """Else every restart would make an empty batch."""
    world, stage = started(block_updates=2)
    ask_and_move(world, stage, world.put("a", 1))
    decide(world, 0)
    world.log.advance(world.log.now_ms + MINUTE_MS)
    stage.crash()
    stage.move()
    stage.run(HALF_FULL_MS - 1)
    assert len(world.headers()) == 1
    stage.run(1)
    assert len(world.headers()) == 2
    assert len(stage.of(Publish)) == 2
