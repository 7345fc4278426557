"""Orders that an Auditor signs and the Ledger must refuse, made from honest ones.

The Ledger has committed three batches: objects "a" and "b" at sequence 0, "a" again at 1, and bob at 2, all decided.
Each order begins with an ordinary request, where it can.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from protocol.hashing import tagged
from protocol.records import RecordKey
from protocol.requests import OpenedRequest
from schemas.order import Entry, Order, ReadVersion, WriteVersion
from tests.gallery.hanging import alter_entry, alter_read, order_of
from tests.unit.ledger.committing import A, Committer
from tests.worlds import START_MS, World

BOBS_KEY = RecordKey("sys", "entity/bob/key/1")


def begun() -> Committer:
    """The Ledger."""
    committer = Committer()
    world = committer.world
    for requests in ((world.put("a", 1), world.put("b", 1)), (world.put("a", 2),), (world.enrol("bob"),)):
        committer.take(committer.decide(*requests))
        committer.learn(world.decisions[world.auditor.head.sequence])
    return committer


def order_with(committer: Committer, request: OpenedRequest) -> Order:
    """An honest order that nobody has seen: an ordinary request, and this one."""
    world = committer.world
    order, _ = world.order(world.put("b", 2), request, store=False)
    return order


def instead(committer: Committer, request: OpenedRequest) -> Order:
    """An order with this request in place of the one that was executed."""
    order = order_with(committer, committer.world.get("a"))
    return committer.world.reorder(order, alter_entry(order, 1, envelope=request.envelope_bytes))


def reading(committer: Committer, **read: int) -> Order:
    """An order that says something else of the version of "a" that it reads."""
    order = order_with(committer, committer.world.get("a"))
    return committer.world.reorder(order, alter_read(order, 1, A, **read))


def altered(committer: Committer, **header: Any) -> Order:
    """An order with another header."""
    return committer.world.reorder(order_with(committer, committer.world.get("a")), **header)


def from_older_record(committer: Committer, key: RecordKey, request: OpenedRequest) -> Order:
    """An order that the Auditor makes after it took a record back."""
    newest = committer.world.auditor.history[key].pop()
    order = order_with(committer, request)
    committer.world.auditor.history[key].append(newest)
    return order


def revoked(committer: Committer) -> Order:
    """Bob's request after his key was revoked."""
    world = committer.world
    committer.take(committer.decide(world.request("sys.key.revoke", {"entity": "bob", "key_version": 1})))
    return from_older_record(committer, BOBS_KEY, world.request("object.get", {"key": "a"}, "bob"))


def repeated(committer: Committer) -> Order:
    """A request of sequence 1 once more."""
    earlier = Entry.from_bytes(order_of(committer.world, 1).entries[0])
    order = order_with(committer, committer.world.get("a"))
    return committer.world.reorder(order, alter_entry(order, 1, envelope=earlier.envelope))


def twice(committer: Committer) -> Order:
    """A request twice in one order."""
    order = order_with(committer, committer.world.get("a"))
    (again,) = alter_entry(replace(order, entries=order.entries[1:]), 0, index=2)
    return committer.world.reorder(order, (*order.entries, again))


def writing_again(committer: Committer) -> Order:
    """An order that writes version 2 of "a", which is there."""
    order = order_with(committer, committer.world.put("a", 3))
    return committer.world.reorder(order, alter_entry(order, 1, writes=(WriteVersion("object", "a", 2, False),)))


def inventing(committer: Committer) -> Order:
    """An order that says that sequence 0 wrote a contract, which is not there."""
    made = instead(committer, committer.world.request("nowhere", {}))
    read = ReadVersion("sys", "contract/nowhere/1", 1, 0, 0)
    return committer.world.reorder(made, alter_entry(made, 1, reads=(read,)))


def unparsable(committer: Committer) -> Order:
    """An order whose second entry is none."""
    order = order_with(committer, committer.world.get("a"))
    return committer.world.reorder(order, (order.entries[0], order.entries[1] + b"\0"))


@dataclass(frozen=True)
class Lie:
    """An order that the Auditor signed, what it is refused for, and the sequences that prove it."""

    make: Callable[[Committer], Order]
    code: str
    index: int = 1
    needed: tuple[int, ...] = ()


LIES = {
    "a stale read": Lie(
        lambda c: reading(c, version=1, writer_sequence=0, writer_index=0), "order.stale_read", needed=(1,)
    ),
    "a record that is said to be absent": Lie(
        lambda c: reading(c, version=0, writer_sequence=-1, writer_index=-1), "order.stale_read", needed=(1,)
    ),
    "a version that is not there yet": Lie(
        lambda c: reading(c, version=3, writer_sequence=0, writer_index=1), "order.false_writer", needed=(0,)
    ),
    "another writer": Lie(lambda c: reading(c, writer_sequence=0), "order.false_writer", needed=(0,)),
    "a version written twice": Lie(writing_again, "order.second_writer", needed=(1,)),
    "a request of an earlier order": Lie(repeated, "order.repeated", needed=(1,)),
    "a request twice": Lie(twice, "order.repeated", 2),
    "another predecessor": Lie(
        lambda c: altered(c, previous_order_hash=tagged("order", b"x")), "order.predecessor", -1, (2,)
    ),
    "a time that falls": Lie(lambda c: altered(c, ordered_at_ms=START_MS), "order.time", -1, (2,)),
    "an empty order with entries": Lie(lambda c: altered(c, kind="empty"), "order.malformed", -1),
    "an entry that is none": Lie(unparsable, "order.malformed"),
    "a request that its client did not sign": Lie(
        lambda c: instead(c, c.world.request("object.get", {"key": "a"}, "bob", "eve")), "order.client"
    ),
    "an entity that is not there": Lie(
        lambda c: instead(c, c.world.request("object.get", {"key": "a"}, "nobody")), "order.client"
    ),
    "a key that was revoked": Lie(revoked, "order.stale_read", needed=(3,)),
    "a contract that is not there": Lie(
        lambda c: instead(c, c.world.request("nowhere", {})), "order.versions", needed=(1,)
    ),
    "a contract that nobody wrote": Lie(inventing, "order.false_writer", needed=(0,)),
    "a request that its client wants later": Lie(
        lambda c: instead(c, c.world.request("object.get", {"key": "a"}, after=3)), "order.not_after"
    ),
    "a request that has expired": Lie(
        lambda c: instead(c, c.world.request("object.get", {"key": "a"}, expiry_ms=c.world.now_ms)), "order.time"
    ),
    "a request of another ledger": Lie(lambda c: instead(c, World(b"other").get("a")), "order.malformed"),
}
