"""Reading orders: what is taken for one, and what one says against itself."""

from dataclasses import replace
from typing import Any

import pytest

from ledger.orders import Contradiction, HeldOrder, check_header, hold_decided_order, hold_order, open_order
from ledger.state import CommitState
from protocol.contracts.names import contract_key, public_key_key
from protocol.hashing import ZERO_HASH, tagged
from protocol.limits import Limits
from protocol.records import RecordKey
from protocol.requests import OpenedRequest
from schemas.order import Entry, Order, OrderHeader
from schemas.request import RecordName
from storage.effects import Message
from storage.ports import RequestExpiry
from tests.gallery.hanging import alter_entry, order_of
from tests.parties import key_of
from tests.unit.learners.cluster import verifies
from tests.worlds import World

DAY_MS = Limits().expiry_ahead_ms


@pytest.fixture
def world() -> World:
    return World()


def message_of(value: bytes | None, topic: str = "orders") -> Message:
    return Message(topic, 0, 0, 0, None, value, 0)


def held(world: World, order: Order) -> HeldOrder:
    """An order that must be one of this ledger and epoch."""
    found = hold_order(message_of(order.to_message()), world.epochs)
    assert found is not None
    return found


def opened(world: World, *requests: OpenedRequest, **header: Any) -> Any:
    """What comes of opening an order of these requests, whatever they are."""
    world.now_ms += 1
    entries = tuple(
        Entry(index=index, envelope=request.envelope_bytes, reads=(), scans=(), writes=()).to_bytes()
        for index, request in enumerate(requests)
    )
    order = world.sign_order(replace(world.header(entries, ZERO_HASH), **header), entries)
    return open_order(held(world, order), world.epochs.limits)


def after(world: World) -> CommitState:
    """The state of a Ledger that acted upon everything the world has decided."""
    start = CommitState.start(world.epochs, b"l" * 32)
    if not world.decisions:
        return start
    last = OrderHeader.from_bytes(order_of(world, max(world.decisions)).header)
    return replace(start, head=world.ledger.head, order_hash=world.auditor.order_hash, ordered_at_ms=last.ordered_at_ms)


# --- What is taken for an order ---


def test_an_order_is_held_with_the_message_it_came_in(world: World) -> None:
    """Its position is where reading goes on."""
    order, _ = world.order(world.put("a", 1), world.put("b", 1))
    message = message_of(order.to_message())
    found = hold_order(message, world.epochs)
    assert found == HeldOrder(message=message, order=order, header=OrderHeader.from_bytes(order.header))


def test_the_order_in_a_decision_is_the_same_without_a_message(world: World) -> None:
    """Its position says nothing of the topic `orders`."""
    decision = world.decide(world.put("a", 1))
    found = hold_decided_order(message_of(decision.to_message(), "decisions"), world.epochs)
    order = order_of(world, 0)
    assert found == HeldOrder(message=None, order=order, header=OrderHeader.from_bytes(order.header))
    assert verifies(found.signature_check(world.epochs))


@pytest.mark.parametrize("hold", [hold_order, hold_decided_order])
@pytest.mark.parametrize("value", [None, b"", b"rubbish"])
def test_rubbish_is_no_order(world: World, hold: Any, value: bytes | None) -> None:
    assert hold(message_of(value), world.epochs) is None


def test_a_message_of_the_other_topic_is_no_order(world: World) -> None:
    """Orders and decisions carry frames of their own."""
    decision = world.decide(world.put("a", 1))
    assert hold_order(message_of(decision.to_message()), world.epochs) is None
    assert hold_decided_order(message_of(order_of(world, 0).to_message()), world.epochs) is None


def test_a_header_that_is_none_makes_no_order(world: World) -> None:
    order, _ = world.order(world.put("a", 1))
    assert hold_order(message_of(replace(order, header=order.header + b"\0").to_message()), world.epochs) is None


def test_an_order_of_another_ledger_is_none(world: World) -> None:
    """Though the same Auditor signed it."""
    other = World(b"other")
    order, _ = other.order(other.put("a", 1))
    assert hold_order(message_of(order.to_message()), other.epochs) is not None
    assert hold_order(message_of(order.to_message()), world.epochs) is None


def test_only_the_epoch_in_force_counts(world: World) -> None:
    """A late order of the epoch before is void or decided already."""
    before, _ = world.order(world.put("a", 1), store=False)
    world.begin_epoch(auditor="new auditor")
    now, _ = world.order(world.put("a", 1), store=False)
    assert hold_order(message_of(before.to_message()), world.epochs) is None
    ahead = world.reorder(now, epoch=2)
    assert hold_order(message_of(ahead.to_message()), world.epochs) is None
    found = held(world, now)
    assert found.signature_check(world.epochs).key == key_of("new auditor").public_key
    assert verifies(found.signature_check(world.epochs))


def test_entries_must_be_those_under_the_header(world: World) -> None:
    """They are not signed themselves: whoever exchanges them leaves the signature whole, and must not be believed."""
    order, _ = world.order(world.put("a", 1), world.put("b", 1))
    first, second = order.entries
    for entries in ((), (first,), (second, first), (first, second, second), (first, second[:-1] + b"\1")):
        assert hold_order(message_of(replace(order, entries=entries).to_message()), world.epochs) is None
    miscounted = world.reorder(order, count=3)
    assert hold_order(message_of(miscounted.to_message()), world.epochs) is None


@pytest.mark.parametrize("part", ["header", "signature"])
def test_the_check_is_of_the_auditors_signature_over_the_header(world: World, part: str) -> None:
    """Another header, or somebody else's signature, fails."""
    order, _ = world.order(world.put("a", 1))
    header = OrderHeader.from_bytes(order.header)
    assert verifies(held(world, order).signature_check(world.epochs))
    if part == "header":
        altered = replace(order, header=replace(header, commitment=tagged("commit", b"")).to_bytes())
    else:
        altered = world.sign_order(header, order.entries, key_of("ledger"))
    assert not verifies(held(world, altered).signature_check(world.epochs))


# --- The header ---


def test_an_order_that_follows_contradicts_nothing(world: World) -> None:
    """The first one too, whose predecessor is none; time may stand still."""
    first, _ = world.order(world.put("a", 1), store=False)
    assert check_header(held(world, first), after(world)) is None
    world.decide(world.put("a", 1))
    state = after(world)
    second, _ = world.order(world.put("a", 2), store=False)
    assert check_header(held(world, second), state) is None
    assert check_header(held(world, world.reorder(second, ordered_at_ms=state.ordered_at_ms)), state) is None


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("order.predecessor", {"previous_order_hash": ZERO_HASH}),
        ("order.predecessor", {"previous_order_hash": tagged("order", b"")}),
        ("order.time", {"ordered_at_ms": -1}),
        ("order.malformed", {"kind": "empty"}),
    ],
)
def test_what_a_header_contradicts(world: World, code: str, changes: dict[str, Any]) -> None:
    """No entry is at fault."""
    world.decide(world.put("a", 1))
    state = after(world)
    if "ordered_at_ms" in changes:
        changes = {"ordered_at_ms": state.ordered_at_ms - 1}
    order, _ = world.order(world.put("a", 2), store=False)
    found = check_header(held(world, world.reorder(order, **changes)), state)
    assert found is not None
    assert (found.code, found.entry_index) == (code, -1)


def test_an_empty_order_has_no_entries(world: World) -> None:
    """And there is nothing against one."""
    order, _ = world.order(store=False)
    assert OrderHeader.from_bytes(order.header).kind == "empty"
    assert check_header(held(world, order), after(world)) is None


# --- The entries ---


def test_opening_gives_requests_records_and_calls(world: World) -> None:
    """Each record once: keys of entities, contracts, and what the clients expect to touch."""
    name = RecordName("object", "a")
    first = world.request("object.put", {"key": "a", "value": 1}, keys=(name,))
    second = world.request("object.get", {"key": "a"}, "bob", keys=(name, RecordName("bank", "x")))
    found = opened(world, first, second)
    assert [request.request_id for request in found.requests] == [first.request_id, second.request_id]
    assert found.records == (
        (
            public_key_key("admin", 1),
            public_key_key("bob", 1),
            contract_key("object.put", 1),
            contract_key("object.get", 1),
        ),
        (RecordKey("object", "a"), RecordKey("bank", "x")),
    )
    assert found.replay() == tuple(
        RequestExpiry(request.request_id, request.body.expiry_ms) for request in (first, second)
    )
    assert [(call.entity, call.contract, call.request_id) for call in found.calls()] == [
        ("admin", "object.put", first.request_id),
        ("bob", "object.get", second.request_id),
    ]


def test_requests_signed_together_are_opened_under_one_root(world: World) -> None:
    """Every path leads to it."""
    bodies = [world.body("object.get", {"key": str(number)}) for number in range(5)]
    requests = world.sign(*bodies)
    found = opened(world, *requests)
    assert {request.root for request in found.requests} == {requests[0].root}
    assert found.requests == tuple(requests)


def test_times_are_judged_by_the_signed_time_alone(world: World) -> None:
    """`not_before <= ordered_at <= expiry <= ordered_at + 24 h`, each bound itself allowed."""
    at_ms = world.now_ms + 1

    def judged(not_before_ms: int, expiry_ms: int) -> Any:
        world.now_ms = at_ms - 1
        request = world.request("object.get", {"key": "a"}, not_before_ms=not_before_ms, expiry_ms=expiry_ms)
        return opened(world, world.get("b"), request)

    for times in ((at_ms, at_ms), (at_ms - DAY_MS, at_ms + DAY_MS)):
        assert not isinstance(judged(*times), Contradiction)
    for times in ((at_ms + 1, at_ms + 1), (at_ms - 2, at_ms - 1), (at_ms, at_ms + DAY_MS + 1)):
        found = judged(*times)
        assert isinstance(found, Contradiction)
        assert (found.code, found.entry_index) == ("order.malformed", 1), "`refuse` finds the code that it proves"


def test_a_request_is_ordered_after_what_its_client_had_seen(world: World) -> None:
    """The sequence before is just enough."""
    world.decide(world.put("a", 1))
    assert not isinstance(opened(world, world.request("object.get", {"key": "a"}, after=0)), Contradiction)
    for seen in (1, 99):
        found = opened(world, world.get("b"), world.request("object.get", {"key": "a"}, after=seen))
        assert isinstance(found, Contradiction)
        assert (found.code, found.entry_index) == ("order.not_after", 1)


def test_a_request_stands_once_in_an_order(world: World) -> None:
    """Wherever it stands again; both places are named."""
    once, again = world.get("a"), world.get("b")
    found = opened(world, once, again, world.get("c"), again)
    assert isinstance(found, Contradiction)
    assert (found.code, found.entry_index, found.earlier) == ("order.repeated", 3, (0, 1))


def test_an_entry_without_an_envelope_is_malformed(world: World) -> None:
    """So is one whose envelope is none, or of another ledger; the first at fault is named."""
    order, _ = world.order(world.get("a"), world.get("b"), store=False)
    entry = Entry.from_bytes(order.entries[1])
    foreign = World(b"other").get("a").envelope_bytes
    cut = order.entries[1][:3]
    altered = [alter_entry(order, 1, envelope=data)[1] for data in (b"", entry.envelope[:-1], foreign)]
    for bad in (b"", cut, *altered):
        found = open_order(held(world, world.reorder(order, (order.entries[0], bad, bad))), world.epochs.limits)
        assert isinstance(found, Contradiction)
        assert (found.code, found.entry_index) == ("order.malformed", 1)


def test_an_order_of_nothing_opens_to_nothing(world: World) -> None:
    found = opened(world, kind="empty")
    assert (found.requests, found.records, found.calls(), found.replay()) == ((), ((), ()), (), ())
