"""Misdeeds of the Auditor: orders that contradict themselves."""

from protocol.evidence import build
from protocol.records import RecordKey
from schemas.order import Entry, ReadVersion
from tests.gallery.hanging import (
    Exhibit,
    alter_entry,
    alter_read,
    contradiction,
    exhibit,
    started,
)
from tests.worlds import World


@exhibit
def request_nobody_signed() -> Exhibit:
    world = started()
    order, _ = world.order(world.request("object.get", {"key": "a"}, signer="mallory"))
    return contradiction(world, "order.client", entry=build.entry_part(order, 0))


def _key_parts(world: World, entity: str, sequence: int) -> dict[str, bytes]:
    """The newest key record of an entity, as its decision pins it."""
    key = RecordKey("sys", f"entity/{entity}/key/1")
    return {
        "key": build.record_part(key, world.auditor.record(key)),
        "key_pin": build.decided_leaf_part(world.decisions[sequence], 0),
    }


@exhibit
def request_a_registered_client_did_not_sign() -> Exhibit:
    world = started()
    world.decide(world.enrol("bob"))
    order, _ = world.order(world.request("object.get", {"key": "a"}, "bob", signer="mallory"))
    return contradiction(world, "order.client", entry=build.entry_part(order, 0), **_key_parts(world, "bob", 2))


@exhibit
def request_with_a_revoked_key() -> Exhibit:
    world = started()
    world.decide(world.enrol("bob"))
    order, _ = world.order(world.request("object.get", {"key": "a"}, "bob"), store=False)
    world.decide(world.request("sys.key.revoke", {"entity": "bob", "key_version": 1}))
    key = RecordKey("sys", "entity/bob/key/1")
    moved = world.reorder(
        order,
        alter_read(order, 0, key, version=2, writer_sequence=3, writer_index=0),
        sequence=4,
        previous_order_hash=world.auditor.order_hash,
    )
    return contradiction(world, "order.client", entry=build.entry_part(moved, 0), **_key_parts(world, "bob", 3))


@exhibit
def request_whose_key_was_not_read() -> Exhibit:
    world = started()
    order, _ = world.order(world.get("a"))
    reads = Entry.from_bytes(order.entries[0]).reads
    blind = world.reorder(order, alter_entry(order, 0, reads=tuple(r for r in reads if r.key != "entity/admin/key/1")))
    return contradiction(world, "order.client", entry=build.entry_part(blind, 0))


@exhibit
def entry_that_is_none() -> Exhibit:
    world = started()
    order, _ = world.order(world.get("a"))
    broken = world.reorder(order, (order.entries[0] + b"\0",))
    return contradiction(world, "order.malformed", entry=build.entry_part(broken, 0))


@exhibit
def entry_with_another_index() -> Exhibit:
    world = started()
    order, _ = world.order(world.get("a"))
    moved = world.reorder(order, alter_entry(order, 0, index=1))
    return contradiction(world, "order.malformed", entry=build.entry_part(moved, 0))


@exhibit
def entry_of_another_ledger() -> Exhibit:
    world, other = started(), World(b"other")
    order, _ = world.order(world.get("a"))
    foreign = world.reorder(order, alter_entry(order, 0, envelope=other.get("a").envelope_bytes))
    return contradiction(world, "order.malformed", entry=build.entry_part(foreign, 0))


@exhibit
def empty_order_with_entries() -> Exhibit:
    world = started()
    order, _ = world.order(world.get("a"))
    return contradiction(world, "order.malformed", order=build.order_part(world.reorder(order, kind="empty")))


@exhibit
def entry_that_reads_something_else() -> Exhibit:
    """Only executing it again tells that the request reads another object."""
    world = started()
    order, _ = world.order(world.get("a"))
    reads = tuple(
        ReadVersion("object", "b", 1, 0, 1) if read.key == "a" else read
        for read in Entry.from_bytes(order.entries[0]).reads
    )
    lying = world.reorder(order, alter_entry(order, 0, reads=reads))
    return contradiction(
        world,
        "order.versions",
        entry=build.entry_part(lying, 0),
        record=build.record_part(RecordKey("object", "b"), world.auditor.record(RecordKey("object", "b"))),
        pin=build.decided_leaf_part(world.decisions[0], 1),
    )
