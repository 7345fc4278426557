"""The ordering machine, effect by effect: what it orders and when, how much at once, and what it turns away."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from protocol.contracts.names import public_key_key
from protocol.limits import SECOND_MS, Limits
from protocol.requests import OpenedRequest
from schemas.order import Entry
from schemas.rejection import Rejections, RejectionsHeader
from storage.effects import FIRST_OFFSET, Apply, Execute, Fetch, Note, Publish, Receive, Report, Seek, Sign, Verify
from storage.errors import EquivocationError
from storage.ports import BUCKET_MS, Place
from tests.unit.auditor.auditor_world import AuditorWorld, Watched, configured

BATCH = ["Fetch", "Verify", "Execute", "Apply", "Note", "Sign", "Publish", "Report"]
LINE = 1
"""A block of one update is never half full."""


def started(limits: Limits | None = None, **changes: Any) -> tuple[AuditorWorld, Watched]:
    """An ordering machine that waits for its first request."""
    world = AuditorWorld(configured(limits, **{"block_updates": LINE, **changes}))
    stage = world.order_stage()
    stage.move()
    return world, stage


def ordered_ids(world: AuditorWorld) -> list[bytes]:
    """The envelopes of every order, in order."""
    return [Entry.from_bytes(entry).envelope for order in world.orders() for entry in order.entries]


def envelopes(requests: Sequence[OpenedRequest]) -> list[bytes]:
    return [request.envelope_bytes for request in requests]


def measures(stage: Watched) -> dict[str, float]:
    return dict(stage.of(Report)[-1].metrics)


# --- One batch ---


def test_it_starts_by_its_guard_and_its_store_and_reads_every_partition() -> None:
    """The guard first: the store may go on meanwhile, and the guard may not be ahead of it."""
    world, stage = started()
    assert stage.names() == ["ReadGuard", "Load", "Seek"]
    assert isinstance(stage.effect, Receive)
    assert stage.effect.topics == ("requests",)
    assert stage.of(Seek)[0].positions == (("requests", 0, FIRST_OFFSET, -1), ("requests", 1, FIRST_OFFSET, -1))
    world.ask(world.put("a", 1), partition=1)
    stage.move()
    assert world.counts() == [1]


def test_a_batch_is_stored_then_noted_then_signed_then_sent() -> None:
    """In this order, each once for the whole batch."""
    world, stage = started()
    requests = [world.put("a", 1), world.put("a", 2), world.put("b", 1)]
    world.ask(*requests)
    stage.effects.clear()
    stage.move()
    assert stage.names() == ["Receive", *BATCH]
    assert ordered_ids(world) == envelopes(requests)
    assert world.headers()[0].ordered_at_ms == world.log.now_ms


def test_requests_of_one_batch_are_executed_one_on_top_of_the_other() -> None:
    """A hot record costs nothing: each reads what the one before it wrote, without waiting for the Ledger."""
    world, stage = started()
    world.ask(*[world.put("a", number) for number in range(3)])
    stage.move()
    entries = [Entry.from_bytes(entry) for entry in world.orders()[0].entries]
    assert [entry.writes[0].version for entry in entries] == [1, 2, 3]
    assert [(r.version, r.writer_sequence, r.writer_index) for r in entries[2].reads if r.key == "a"] == [(2, 0, 1)]
    world.ask(world.put("a", 3))
    stage.move()
    (entry,) = [Entry.from_bytes(entry) for entry in world.orders()[1].entries]
    assert [(r.version, r.writer_sequence, r.writer_index) for r in entry.reads if r.key == "a"] == [(3, 0, 2)]


@pytest.mark.parametrize("effect", [Apply, Note, Sign, Publish])
def test_whatever_it_is_stopped_before_nothing_has_left_and_one_order_comes_of_it(effect: type) -> None:
    """Nothing is noted before the store has answered, nothing signed before it is noted, nothing sent unsigned."""
    world, stage = started()
    world.ask(world.put("a", 1))
    stage.move(until=effect)
    done = [Apply, Note, Sign, Publish].index(effect)
    assert world.values("orders") == []
    assert world.state().sequence == (-1 if done == 0 else 0)
    noted = world.disks.guard.highest("order")
    assert (noted is not None) == (done > 1)
    assert len(stage.of(Sign)) == (done > 2)
    stage.crash()
    stage.move()
    assert world.counts() == [1]
    assert world.state().sequence == 0


def test_what_the_guard_refuses_is_never_signed() -> None:
    """Somebody else has signed another order for this sequence meanwhile."""
    world, stage = started()
    world.ask(world.put("a", 1))
    stage.move(until=Note)
    world.disks.guard.note([Place("order", 0, 0, b"x" * 32, bytes(32))])
    stage.move()
    assert stage.halt is not None
    assert stage.halt.code == EquivocationError("").code
    assert (stage.of(Sign), world.values("orders")) == ([], [])


def test_orders_chain() -> None:
    """Sequence by sequence, at times that never fall even where the clock does."""
    world, stage = started()
    for step in (5, -1_000, 7):
        world.log.now_ms += step
        world.ask(world.put("a", step))
        stage.move()
    headers = world.headers()
    assert [header.sequence for header in headers] == [0, 1, 2]
    base = headers[0].ordered_at_ms
    assert [header.ordered_at_ms - base for header in headers] == [0, 0, 0]
    assert len({header.previous_order_hash for header in headers}) == 3


def test_a_contract_is_executed_by_the_time_that_is_signed() -> None:
    """The Ledger executes by the header; whatever the Auditor's clock said must not matter."""
    world, stage = started()
    world.ask(world.put("a", 1))
    stage.move()
    world.log.now_ms -= 500
    world.ask(world.put("a", 2))
    stage.move()
    first, second = (execute.batch for execute in stage.of(Execute))
    assert measures(stage)["gauge_ordered_at_ms"] == world.log.now_ms + 500
    assert (first.sequence, second.sequence) == (0, 1)
    assert public_key_key("admin", 1) in first.records, "else it would be fetched once more"
    assert second.ordered_at_ms == first.ordered_at_ms == world.headers()[1].ordered_at_ms


def test_what_was_done_is_reported() -> None:
    """Everything that came in is in one of the numbers."""
    world, stage = started()
    late = world.put("a", 0, expiry_ms=world.log.now_ms - 1)
    world.send("requests", b"rubbish")
    world.ask(world.put("a", 1), late, world.clients.request("object.get", {"key": "a"}, signer="eve"))
    world.log.now_ms += 40
    world.ask(world.put("a", 2))
    stage.move()
    assert measures(stage) == {
        "ordered": 2,
        "rejected": 2,
        "skipped": 1,
        "unauthenticated": 1,
        "unanswered": 0,
        "order_wait_ms_sum": 160,
        "order_wait_count": 5,
        "gauge_ordered_at_ms": world.log.now_ms,
        "gauge_sequence": 0,
        "gauge_undecided": 1,
    }


# --- How much at once ---


def test_a_batch_has_at_most_so_many_requests() -> None:
    """No more are received at once; the rest comes with the next batches, in order."""
    world, stage = started(replace(Limits(), batch_requests=2))
    requests = [world.put("a", number) for number in range(5)]
    world.ask(*requests)
    stage.move()
    assert world.counts() == [2, 2, 1]
    assert ordered_ids(world) == envelopes(requests)
    assert {receive.max_messages for receive in stage.of(Receive)} == {2}


@pytest.mark.parametrize(("spare", "counts"), [(0, [2, 2]), (-1, [1, 1, 1, 1]), (1, [2, 2])])
def test_a_batch_has_at_most_so_many_bytes(spare: int, counts: list[int]) -> None:
    """To the byte; what is too much waits, and is not received again."""
    size = len(AuditorWorld().put("a", 1).envelope.to_message())
    narrow = {"request_bytes": size, "argument_bytes": 100, "batch_bytes": 2 * size + spare}
    world, stage = started(replace(Limits(), **narrow))
    world.ask(*[world.put("a", number) for number in range(4)])
    stage.move()
    assert world.counts() == counts
    assert [len(fetch.replay) for fetch in stage.of(Fetch)] == counts
    assert len(stage.of(Receive)) == 1


def test_one_request_is_a_batch_whatever_its_size() -> None:
    """An envelope may be larger than its body: otherwise it could never be ordered."""
    size = len(AuditorWorld().put("a", 1).envelope.to_message())
    world, stage = started(replace(Limits(), request_bytes=size - 20, argument_bytes=100, batch_bytes=size - 20))
    world.ask(world.put("a", 1), world.put("a", 2))
    stage.move()
    assert world.counts() == [1, 1]


def test_what_gives_too_much_is_taken_up_again_from_there() -> None:
    """The batch closes by what its requests give; its positions reach as far as it goes, and the rest is not lost."""
    narrow = {"batch_output_bytes": 3_000, "request_output_bytes": 150, "value_bytes": 120}
    world, stage = started(replace(Limits(), **narrow))
    requests = [world.put("a", "x" * 60) for _ in range(5)]
    world.ask(*requests)
    stage.move(until=Note)
    assert world.state().positions == {0: (2, 0)}
    stage.move()
    assert world.counts() == [2, 2, 1]
    assert ordered_ids(world) == envelopes(requests)
    assert len(stage.of(Receive)) == 1
    assert world.state().positions == {0: (5, 0)}


def test_what_a_crash_left_over_of_a_portion_is_read_again() -> None:
    """Positions are those of what was settled, so nothing is lost and nothing ordered twice."""
    narrow = {"batch_output_bytes": 3_000, "request_output_bytes": 150, "value_bytes": 120}
    world, stage = started(replace(Limits(), **narrow))
    requests = [world.put("a", "x" * 60) for _ in range(5)]
    world.ask(*requests)
    stage.move(until=Publish)
    stage.crash()
    stage.move()
    assert ordered_ids(world) == envelopes(requests)


# --- What is turned away ---


def test_times_are_judged_by_the_order_s_own() -> None:
    """Exactly at its bounds a request is ordered; the expired one is final, the early one is not."""
    world, stage = started()
    now_ms = world.log.now_ms
    good = [
        world.put("a", 1, not_before_ms=now_ms),
        world.put("a", 2, expiry_ms=now_ms),
        world.put("a", 3, expiry_ms=now_ms + Limits().expiry_ahead_ms),
    ]
    bad = [
        world.put("a", 4, not_before_ms=now_ms + 1),
        world.put("a", 5, expiry_ms=now_ms - 1),
        world.put("a", 6, expiry_ms=now_ms + Limits().expiry_ahead_ms + 1),
        world.put("a", 7, expiry_ms=now_ms // BUCKET_MS * BUCKET_MS - 1),
        world.put("a", 8, after=0),
    ]
    world.ask(*good, *bad)
    stage.move()
    assert ordered_ids(world) == envelopes(good)
    assert [(entry.request_id, entry.code, entry.final) for entry in world.rejections()] == [
        (bad[0].request_id, "request.not_yet_valid", False),
        (bad[1].request_id, "request.expired", True),
        (bad[2].request_id, "request.too_far_ahead", False),
        (bad[3].request_id, "request.forgotten", True),
        (bad[4].request_id, "request.after_unknown", False),
    ]


def test_a_receipt_that_there_is_may_be_followed() -> None:
    """The last ordered sequence is known, whether it is decided or not."""
    world, stage = started()
    world.ask(world.put("a", 1))
    stage.move()
    world.ask(world.put("a", 2, after=0), world.put("a", 3, after=1))
    stage.move()
    assert world.counts() == [1, 1]
    assert world.codes() == ["request.after_unknown"]


def test_who_cannot_be_authenticated_is_answered_by_the_envelope_s_hash() -> None:
    """Neither an unknown entity nor a forged signature costs an execution, or binds a request_id."""
    world, stage = started()
    unknown = world.clients.request("object.get", {"key": "a"}, entity="nobody")
    forged = world.clients.request("object.get", {"key": "a"}, signer="eve")
    world.ask(unknown, forged)
    stage.move()
    assert sorted(world.codes()) == ["entity.unknown", "request.bad_signature"]
    assert {entry.request_id for entry in world.rejections()} == {bytes(32)}
    assert (world.orders(), stage.of(Execute)) == ([], [])
    assert world.state().replay_entries == 0
    assert [len(verify.checks) for verify in stage.of(Verify)] == [1]


def test_nobody_makes_the_auditor_sign_more_than_so_many_a_second() -> None:
    """The rest is counted; its positions move on all the same."""
    world, stage = started(replace(Limits(), unauthenticated_rejections_per_second=2))
    for _ in range(3):
        world.ask(world.clients.request("object.get", {"key": "a"}, signer="eve"))
    stage.move()
    world.ask(world.clients.request("object.get", {"key": "a"}, signer="eve"))
    stage.move()
    assert len(world.codes()) == 2
    assert sum(report.metrics["unauthenticated"] for report in stage.of(Report)) == 4
    assert sum(report.metrics["unanswered"] for report in stage.of(Report)) == 2
    assert world.state().positions == {0: (4, 0)}
    world.log.advance(world.log.now_ms + SECOND_MS)
    world.ask(world.clients.request("object.get", {"key": "a"}, signer="eve"))
    stage.move()
    assert len(world.codes()) == 3


def test_what_cannot_be_executed_is_rejected_and_the_rest_ordered() -> None:
    """Indices have no gap; rejections are numbered, chained, and as of the order they came with."""
    world, stage = started()
    bad = [world.clients.request("no.contract", {}) for _ in range(2)]
    world.ask(world.put("a", 1), bad[0], world.put("a", 2))
    stage.move()
    world.ask(bad[1])
    stage.move()
    assert [Entry.from_bytes(entry).index for entry in world.orders()[0].entries] == [0, 1]
    assert world.codes() == ["contract.unknown"] * 2
    first, second = [RejectionsHeader.from_bytes(Rejections.from_message(v).header) for v in world.values("rejections")]
    assert (first.rejection_number, second.rejection_number) == (0, 1)
    assert (first.as_of_sequence, second.as_of_sequence) == (0, 0)
    assert (first.previous_hash, second.previous_hash == first.previous_hash) == (bytes(32), False)


def test_an_entity_is_known_from_the_batch_after_its_own() -> None:
    """Its key is looked for in the store: a request beside the registration is turned away, and not bound by it."""
    world, stage = started()
    request = world.clients.request("object.get", {"key": "a"}, entity="bob")
    world.ask(world.clients.enrol("bob"), request)
    stage.move()
    assert (world.counts(), world.codes()) == ([1], ["entity.unknown"])
    world.ask(request)
    stage.move()
    assert (world.counts(), world.codes()) == ([1, 1], ["entity.unknown"])


def test_a_key_that_the_batch_itself_revoked_orders_nothing_more() -> None:
    """Its record is read by executing: what was written before in the batch is no condition on the store."""
    world, stage = started()
    world.ask(world.clients.enrol("bob"))
    stage.move()
    revoke = world.clients.request("sys.key.revoke", {"entity": "bob", "key_version": 1}, entity="bob")
    late = world.clients.request("object.get", {"key": "a"}, entity="bob")
    world.ask(revoke, late)
    stage.move()
    assert ordered_ids(world)[1:] == envelopes([revoke])
    assert [(entry.request_id, entry.code) for entry in world.rejections()] == [(late.request_id, "entity.key_revoked")]
    assert [apply.call.reads for apply in stage.of(Apply)][1:] != [()]
    assert len(stage.of(Apply)) == 2
