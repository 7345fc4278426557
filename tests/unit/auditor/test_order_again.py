"""The ordering machine and what comes twice: duplicates, refused calls, another process, restarts."""

from dataclasses import replace
from typing import Any, Literal

import pytest

from auditor.send import statement_place
from auditor.state import write_sequence
from protocol.limits import SECOND_MS, Limits
from protocol.records import RecordKey
from protocol.requests import OpenedRequest
from schemas.order import Entry
from schemas.statement import Update
from storage.effects import Apply, Effect, Event, Execute, Note, Refused, Report, Seek, Verify
from storage.performer import StorePerformer
from storage.ports import BUCKET_MS, OutboxEntry, Place, StoreCall
from tests.unit.auditor.auditor_world import AuditorWorld, Watched, configured


def started(limits: Limits | None = None, **changes: Any) -> tuple[AuditorWorld, Watched]:
    """An ordering machine that waits for its first request; a block of one update is never half full."""
    world = AuditorWorld(configured(limits, **{"block_updates": 1, **changes}))
    stage = world.order_stage()
    stage.move()
    return world, stage


def refusals(stage: Watched) -> list[str]:
    """Which calls were refused, and for which reason, each once."""
    told = [report.metrics for report in stage.of(Report) if "ordered" not in report.metrics]
    refused = [metrics for metrics in told if metrics.keys() != {"gauge_sequence"}]
    assert all(list(metrics.values()) == [1] for metrics in refused)
    return [name for metrics in refused for name in metrics]


def ordered_envelopes(world: AuditorWorld) -> list[bytes]:
    return [Entry.from_bytes(entry).envelope for order in world.orders() for entry in order.entries]


def test_how_far_it_is_is_said_at_the_start() -> None:
    """Nothing may come for long, and whoever looks would take the line to be at its beginning."""
    world, stage = started()
    assert stage.of(Report) == [], "nothing was ordered yet"
    ask_and_move(world, stage, world.put("a", 1))
    ask_and_move(world, stage, world.put("a", 2))
    stage.crash()
    stage.effects.clear()
    stage.move()
    assert [report.metrics for report in stage.of(Report)] == [{"gauge_sequence": 1}]


# --- Duplicates ---


def test_a_request_is_ordered_once_however_often_it_comes() -> None:
    """In one batch, in the next, in another partition, after a restart: dropped, never rejected, and settled."""
    world, stage = started()
    request = world.put("a", 1)
    world.ask(request, request)
    stage.move()
    world.ask(request)
    stage.move()
    world.ask(request, partition=1)
    stage.move()
    stage.crash()
    world.ask(request)
    stage.move()
    assert len(set(world.values("orders"))) == 1
    assert (world.counts()[0], world.codes()) == (1, [])
    assert (len(stage.of(Verify)), len(stage.of(Execute))) == (1, 1), "a duplicate costs next to nothing"
    assert world.state().positions == {0: (4, 0), 1: (1, 0)}


def test_a_request_that_was_rejected_for_good_is_dropped() -> None:
    """The guard has it: no second rejection, and no order, though the reason may be gone."""
    world, stage = started()
    request = world.clients.request("no.contract", {})
    world.ask(request)
    stage.move()
    world.ask(request)
    stage.move()
    assert world.codes() == ["contract.unknown"]
    assert world.state().replay_entries == 1
    assert len(stage.of(Execute)) == 1


def test_what_may_be_tried_again_is_ordered_when_its_time_has_come() -> None:
    """A rejection that is not final binds nobody."""
    world, stage = started()
    request = world.put("a", 1, not_before_ms=world.log.now_ms + 10)
    world.ask(request)
    stage.move()
    world.log.advance(world.log.now_ms + 10)
    world.ask(request)
    stage.move()
    assert (world.codes(), world.counts()) == (["request.not_yet_valid"], [1])


def test_a_duplicate_gets_its_receipts_again_once_decided() -> None:
    """Nothing while it is undecided; then the same bytes, at most once a second, after the batch's own call."""
    world, stage = started()
    request = world.put("a", 1)
    world.ask(request)
    stage.move()
    world.ask(request)
    stage.move()
    assert world.values("receipts") == []
    (entry,) = world.disks.store.read_outbox("order", 0, 0)
    world.store(OutboxEntry("decision", 0, bytes(64)), decided=write_sequence(0))
    world.disks.guard.note([statement_place(Update.from_bytes(entry.message).statement)])
    stage.effects.clear()
    for _ in range(2):
        world.ask(request)
        stage.move()
    assert len(world.values("receipts")) == 1
    names = stage.names()
    assert names.index("Apply") < names.index("Publish")
    world.log.advance(world.log.now_ms + SECOND_MS)
    world.ask(request)
    stage.move()
    assert len(world.values("receipts")) == 2
    assert len(set(world.values("receipts"))) == 1
    assert world.values("decisions") == []


# --- The replay guard's bound ---


def ask_and_move(world: AuditorWorld, stage: Watched, *requests: OpenedRequest) -> None:
    world.ask(*requests)
    stage.move()


def test_a_full_replay_guard_is_busy() -> None:
    """It takes as many as the limit and not one more; who is turned away may come again when there is room."""
    world, stage = started(replace(Limits(), replay_guard_entries=3))
    requests = [world.put("a", number) for number in range(5)]
    ask_and_move(world, stage, *requests[:2])
    ask_and_move(world, stage, *requests[2:4])
    ask_and_move(world, stage, requests[4])
    assert world.counts() == [2, 1]
    rejected = [(entry.request_id, entry.code, entry.final) for entry in world.rejections()]
    assert rejected == [(request.request_id, "busy", False) for request in requests[3:]]


def test_a_guard_that_let_go_of_its_oldest_minute_has_room_again() -> None:
    """The call that turned somebody away has evicted what is over, by the time that it judged by."""
    world, stage = started(replace(Limits(), replay_guard_entries=1))
    request = world.put("a", 1)
    ask_and_move(world, stage, request)
    world.log.advance((request.body.expiry_ms // BUCKET_MS + 1) * BUCKET_MS - 1)
    ask_and_move(world, stage, world.put("a", 2))
    assert world.state().replay_entries == 1
    world.log.advance(world.log.now_ms + 1)
    ask_and_move(world, stage, world.put("a", 3))
    assert world.state().replay_entries == 0
    ask_and_move(world, stage, world.put("a", 4))
    assert (world.codes(), world.state().sequence) == (["busy", "busy"], 1)


def test_how_full_the_guard_is_outlives_a_restart() -> None:
    """It is the store's number, not the process's."""
    world, stage = started(replace(Limits(), replay_guard_entries=2))
    ask_and_move(world, stage, world.put("a", 1), world.put("a", 2))
    stage.crash()
    ask_and_move(world, stage, world.put("a", 3))
    assert world.codes() == ["busy"]


def test_a_duplicate_is_known_where_the_guard_is_full() -> None:
    """It needs no room, and is told nothing false."""
    world, stage = started(replace(Limits(), replay_guard_entries=1))
    request = world.put("a", 1)
    ask_and_move(world, stage, request)
    ask_and_move(world, stage, request)
    assert (world.counts(), world.codes()) == ([1], [])


# --- Refused calls ---


def test_another_process_was_active() -> None:
    """Its call is refused by the cells; it loads what there is, and orders on top of that what is still to be done."""
    world, first = started()
    second = world.order_stage()
    second.move()
    requests = [world.put("a", 1), world.put("a", 2)]
    world.ask(requests[0])
    first.move(until=Apply)
    world.ask(requests[1])
    second.move()
    first.move()
    assert refusals(first) == ["refused_cell"]
    assert ordered_envelopes(world)[:2] == [request.envelope_bytes for request in requests]
    assert len(set(world.values("orders"))) == 1
    assert world.state().sequence == 0
    names = first.names()
    assert names[names.index("Apply") :][:5] == ["Apply", "Report", "ReadGuard", "Load", "Seek"]


def test_its_own_batch_had_got_in_already() -> None:
    """A driver tried a call again that had succeeded: nothing is ordered twice, and the order is sent."""
    world, stage = started()
    performer = StorePerformer(world.disks.store, world.disks.guard, lambda: world.log.now_ms)

    def twice(effect: Effect) -> Event | None:
        if not isinstance(effect, Apply):
            return None
        stage.instead = lambda _: None
        performer.perform(effect)
        return performer.perform(effect)

    stage.instead = twice
    world.ask(world.put("a", 1))
    stage.move()
    assert refusals(stage) == ["refused_cell"]
    assert world.counts() == [1]
    assert (world.state().sequence, len(stage.of(Apply))) == (0, 1)


def test_a_record_that_went_on_meanwhile_is_read_again() -> None:
    """The refused batch is executed anew, on the record as it is now; nothing of the first try was signed."""
    world, stage = started()
    key = RecordKey("object", "a")
    world.ask(world.put("a", 1))
    stage.move(until=Apply)
    world.overwrite(key, b'"other"')
    stage.move()
    assert refusals(stage) == ["refused_read"]
    assert len(stage.of(Note)) == 1
    (entry,) = [Entry.from_bytes(entry) for entry in world.orders()[0].entries]
    assert [(write.key, write.version) for write in entry.writes] == [("a", 2)]
    assert world.state().sequence == 0


def test_a_range_that_grew_meanwhile_is_scanned_again() -> None:
    """A row that was not there is a reason to refuse, too: the order names what the range really holds."""
    world, stage = started()
    source = 'def execute(argument):\n    return scan("object", "", "", 9)["next"]\n'
    scanner = {"contract": "scanner", "source": source, "version": 1}
    ask_and_move(world, stage, world.clients.request("sys.contract.register", scanner))
    world.ask(world.clients.request("scanner", {}))
    stage.move(until=Apply)
    world.overwrite(RecordKey("object", "phantom"), b'"other"')
    stage.move()
    assert refusals(stage) == ["refused_scan"]
    (entry,) = [Entry.from_bytes(entry) for entry in world.orders()[-1].entries]
    assert [[row.key for row in scan.rows] for scan in entry.scans] == [["phantom"]]
    assert world.state().sequence == 1


def test_a_request_that_the_guard_got_meanwhile_is_dropped() -> None:
    """The store says so by its refusal, and the next fetch shows which one."""
    world, stage = started()
    request, other = world.put("a", 1), world.put("b", 1)
    world.ask(request, other)
    stage.move(until=Apply)
    assert isinstance(stage.effect, Apply)
    seen = stage.effect.call.replay[:1]
    world.disks.store.apply(StoreCall(expected_cells={}, cells={}, replay=seen))
    stage.move()
    assert refusals(stage) == ["refused_replay"]
    assert ordered_envelopes(world) == [other.envelope_bytes]


def refuse_once(stage: Watched, now_ms: int, reason: Literal["scan", "cell"]) -> None:
    """Refuse the next call, whatever it is, and no further one."""

    def refuse(effect: Effect) -> Event | None:
        if not isinstance(effect, Apply):
            return None
        stage.instead = lambda _: None
        return Refused(now_ms=now_ms, reason=reason, cells={})

    stage.instead = refuse


def test_a_refusal_that_comes_out_of_nowhere_is_met_in_the_same_way() -> None:
    """Whatever the reason: load, and go on from the stored positions, with nothing left of what was pending."""
    world, stage = started(replace(Limits(), batch_requests=4))
    requests = [world.put("a", number) for number in range(3)]
    refuse_once(stage, world.log.now_ms, "scan")
    world.ask(*requests)
    stage.move()
    assert refusals(stage) == ["refused_scan"]
    assert ordered_envelopes(world) == [request.envelope_bytes for request in requests]


def test_what_was_pending_when_a_call_was_refused_waits_for_its_turn() -> None:
    """It is read again, behind what was refused: nobody overtakes, and no position passes what is not settled."""
    size = len(AuditorWorld().put("a", 1).envelope.to_message())
    world, stage = started(replace(Limits(), request_bytes=size, argument_bytes=100, batch_bytes=size))
    requests = [world.put("a", number) for number in range(3)]
    refuse_once(stage, world.log.now_ms, "cell")
    world.ask(*requests)
    stage.move()
    assert world.counts() == [1, 1, 1]
    assert ordered_envelopes(world) == [request.envelope_bytes for request in requests]


# --- Restarts ---


def test_a_restart_sends_what_is_undecided_and_the_last_rejections_and_reads_on() -> None:
    """Byte for byte what was sent before, and nothing else; reading goes on behind what was settled."""
    world, stage = started()
    for number in range(3):
        ask_and_move(world, stage, world.put("a", number), world.clients.request("no.contract", {}))
    orders, rejections = world.values("orders"), world.values("rejections")
    world.store(decided=write_sequence(0))
    stage.crash()
    stage.effects.clear()
    stage.move()
    assert world.values("orders") == orders + orders[1:]
    assert world.values("rejections") == rejections + rejections[-1:]
    assert [position.offset for position in stage.of(Seek)[0].positions] == [6, -2]
    assert [position[:2] for position in stage.of(Seek)[0].positions] == [("requests", 0), ("requests", 1)]
    assert stage.names()[:3] == ["ReadGuard", "Load", "Seek"]
    ask_and_move(world, stage, world.put("a", 9))
    assert len(world.values("orders")) == 6
    assert world.headers()[-1].sequence == 3


def test_a_log_that_lost_its_tail_is_read_by_its_leader_epoch() -> None:
    """The stored position names the epoch, so that offsets used again are not taken for those that were read."""
    world, stage = started()
    ask_and_move(world, stage, world.put("a", 1), world.put("a", 2))
    world.log.lose_tail("requests", 0, 1)
    ask_and_move(world, stage, world.put("a", 3), world.put("a", 4))
    stage.crash()
    stage.effects.clear()
    stage.move()
    assert stage.of(Seek)[0].positions[0].leader_epoch == 1
    assert sum(world.counts()[:2]) == 4


@pytest.mark.parametrize(
    ("place", "code"),
    [
        (Place("order", 0, 1, b"x" * 32, bytes(32)), "epoch.needed"),
        (Place("order", 1, 0, b"x" * 32, bytes(32)), "epoch.needed"),
        (Place("order", 0, 0, b"x" * 32, bytes(32)), ""),
    ],
)
def test_a_store_behind_its_guard_orders_nothing(place: Place, code: str) -> None:
    """An order was signed that the store knows nothing of: that takes a new epoch."""
    world, stage = started()
    ask_and_move(world, stage, world.put("a", 1))
    world.disks.guard = type(world.disks.guard)()
    world.disks.guard.note([place])
    world.store(decided=write_sequence(0))  # nothing is to be sent
    stage.crash()
    stage.effects.clear()
    stage.move()
    assert (stage.halt.code if stage.halt else "") == code
    if code:
        assert stage.names() == ["ReadGuard", "Load"]


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ({"stopped": b"guilty: ledger"}, "evidence.raised"),
        ({"store_id": b"s" * 32}, "epoch.needed"),
        ({"epoch": (1).to_bytes(8, "big")}, "epoch.needed"),
    ],
)
def test_it_does_not_start_where_it_may_not_order(cells: dict[str, bytes], code: str) -> None:
    """A raised accusation ends ordering for good; another store or epoch needs a configuration that names it."""
    world = AuditorWorld()
    world.store(**cells)
    stage = world.order_stage()
    world.ask(world.put("a", 1))
    stage.move()
    assert stage.halt is not None
    assert stage.halt.code == code
    assert stage.names() == ["ReadGuard", "Load"]
    if "stopped" in cells:
        assert stage.halt.text == "guilty: ledger"


def test_ordering_stops_when_evidence_is_raised() -> None:
    """The next call finds the cell, and the machine what it says; nothing more is signed."""
    world, stage = started()
    world.store(stopped=b"guilty: ledger")
    ask_and_move(world, stage, world.put("a", 1))
    assert stage.halt is not None
    assert stage.halt.code == "evidence.raised"
    assert (stage.of(Note), world.values("orders")) == ([], [])
