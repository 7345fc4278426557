"""Misdeeds of the Auditor: orders that contradict other orders or the genesis."""

from protocol.evidence import build
from protocol.evidence.verdicts import AUDITOR
from protocol.hashing import tagged
from protocol.records import RecordKey
from protocol.requests import OpenedRequest
from schemas.order import Entry, WriteVersion
from tests.gallery.hanging import (
    A,
    Exhibit,
    alter_entry,
    alter_read,
    contradiction,
    exhibit,
    order_of,
    started,
)
from tests.worlds import World


@exhibit
def stale_read() -> Exhibit:
    world = started()
    order, _ = world.order(world.get("a"))
    stale = world.reorder(order, alter_read(order, 0, A, version=1, writer_sequence=0, writer_index=0))
    return contradiction(
        world,
        "order.stale_read",
        entry=build.entry_part(stale, 0),
        earlier=build.entry_part(order_of(world, 1), 0),
    )


@exhibit
def write_skew_in_one_order() -> Exhibit:
    """The second of two requests in one order does not see what the first wrote."""
    world = started()
    order, _ = world.order(world.put("a", 3), world.get("a"))
    skewed = world.reorder(order, alter_read(order, 1, A, version=2, writer_sequence=1, writer_index=0))
    entries = [build.entry_part(skewed, index) for index in (1, 0)]
    return contradiction(world, "order.stale_read", entry=entries[0], earlier=entries[1])


@exhibit
def version_0_of_a_record_that_exists() -> Exhibit:
    world = started()
    order, _ = world.order(world.get("a"))
    absent = world.reorder(order, alter_read(order, 0, A, version=0, writer_sequence=-1, writer_index=-1))
    return contradiction(
        world,
        "order.stale_read",
        entry=build.entry_part(absent, 0),
        earlier=build.entry_part(order_of(world, 0), 0),
    )


@exhibit
def version_0_of_a_record_of_the_genesis() -> Exhibit:
    world = started()
    order, _ = world.order(world.get("a"))
    key = RecordKey("sys", "contract/object.get/1")
    absent = world.reorder(order, alter_read(order, 0, key, version=0, writer_sequence=-1, writer_index=-1))
    return contradiction(world, "order.stale_read", entry=build.entry_part(absent, 0))


SCANNER = """
def execute(argument):
    return scan("object", argument["start"], argument["end"], argument["limit"])
"""


def register_scanner(world: World) -> None:
    """Register a contract that scans objects."""
    world.decide(world.request("sys.contract.register", {"contract": "scanner", "source": SCANNER, "version": 1}))


def scan(world: World, start: str = "", end: str = "", limit: int = 10) -> OpenedRequest:
    """A request that scans objects."""
    return world.request("scanner", {"start": start, "end": end, "limit": limit})


@exhibit
def scan_that_omits_a_key() -> Exhibit:
    world = started()
    register_scanner(world)
    order, _ = world.order(scan(world))
    entry = Entry.from_bytes(order.entries[0])
    (scanned,) = entry.scans
    assert [row.key for row in scanned.rows] == ["a", "b"]
    blind = world.reorder(order, alter_entry(order, 0, scans=(scanned._replace(rows=scanned.rows[:1]),)))
    return contradiction(
        world,
        "order.stale_read",
        entry=build.entry_part(blind, 0),
        earlier=build.entry_part(order_of(world, 0), 1),
    )


@exhibit
def second_writer() -> Exhibit:
    world = started()
    order, _ = world.order(world.put("a", 3))
    again = world.reorder(order, alter_entry(order, 0, writes=(WriteVersion("object", "a", 2, False),)))
    return contradiction(
        world,
        "order.second_writer",
        entry=build.entry_part(again, 0),
        earlier=build.entry_part(order_of(world, 1), 0),
    )


@exhibit
def second_writer_of_a_record_of_the_genesis() -> Exhibit:
    world = started()
    order, _ = world.order(world.put("a", 3))
    writes = (WriteVersion("sys", "namespace/object", 1, False),)
    again = world.reorder(order, alter_entry(order, 0, writes=writes))
    return contradiction(world, "order.second_writer", entry=build.entry_part(again, 0))


@exhibit
def writer_that_did_not_write() -> Exhibit:
    world = started()
    order, _ = world.order(world.get("a"))
    lying = world.reorder(order, alter_read(order, 0, A, writer_sequence=0, writer_index=1))
    return contradiction(
        world,
        "order.false_writer",
        entry=build.entry_part(lying, 0),
        writer=build.entry_part(order_of(world, 0), 1),
    )


@exhibit
def writer_behind_the_last_entry() -> Exhibit:
    world = started()
    order, _ = world.order(world.get("a"))
    lying = world.reorder(order, alter_read(order, 0, A, writer_index=1))
    return contradiction(
        world,
        "order.false_writer",
        entry=build.entry_part(lying, 0),
        writer_order=build.order_part(order_of(world, 1)),
    )


@exhibit
def writer_in_the_future() -> Exhibit:
    world = started()
    order, _ = world.order(world.get("a"))
    lying = world.reorder(order, alter_read(order, 0, A, writer_sequence=2))
    return contradiction(world, "order.false_writer", entry=build.entry_part(lying, 0))


@exhibit
def writer_genesis_that_did_not_write() -> Exhibit:
    world = started()
    order, _ = world.order(world.get("a"))
    lying = world.reorder(order, alter_read(order, 0, A, version=1, writer_sequence=-1))
    return contradiction(world, "order.false_writer", entry=build.entry_part(lying, 0))


def _repeated(world: World, first: bytes, second: bytes) -> Exhibit:
    parts = [("entry", first), ("entry", second)]
    return Exhibit(build.order_contradiction(world.epochs, "order.repeated", parts), world.epochs, AUDITOR)


@exhibit
def request_repeated() -> Exhibit:
    world = started()
    request = world.put("a", 3)
    world.decide(world.get("b"), request)
    order, _ = world.order(request)
    return _repeated(world, build.entry_part(order_of(world, 2), 1), build.entry_part(order, 0))


@exhibit
def request_twice_in_one_order() -> Exhibit:
    world = started()
    request = world.get("a")
    order, _ = world.order(request, request)
    return _repeated(world, build.entry_part(order, 0), build.entry_part(order, 1))


@exhibit
def not_after() -> Exhibit:
    world = started()
    order, _ = world.order(world.request("object.get", {"key": "a"}, after=2))
    return contradiction(world, "order.not_after", entry=build.entry_part(order, 0))


@exhibit
def expired() -> Exhibit:
    world = started()
    order, _ = world.order(world.request("object.get", {"key": "a"}, expiry_ms=world.now_ms))
    return contradiction(world, "order.time", entry=build.entry_part(order, 0))


@exhibit
def time_that_falls() -> Exhibit:
    world = started()
    order, _ = world.order(world.get("a"))
    back = world.reorder(order, ordered_at_ms=world.now_ms - 2)
    return contradiction(
        world, "order.time", order=build.order_part(back), previous=build.order_part(order_of(world, 1))
    )


@exhibit
def other_predecessor() -> Exhibit:
    world = started()
    order, _ = world.order(world.get("a"))
    other = world.reorder(order, previous_order_hash=tagged("order", order_of(world, 0).header))
    return contradiction(
        world,
        "order.predecessor",
        order=build.order_part(other),
        previous=build.order_part(order_of(world, 1)),
    )


@exhibit
def predecessor_of_the_first() -> Exhibit:
    world = World()
    order, _ = world.order(world.put("a", 1))
    other = world.reorder(order, previous_order_hash=tagged("order", b""))
    return contradiction(world, "order.predecessor", order=build.order_part(other))
