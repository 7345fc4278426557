"""What looks like a contradiction between orders and is none."""

import pytest

from protocol.evidence import build
from protocol.evidence.contradictions import covers, name_of
from protocol.evidence.verdicts import Finding
from protocol.hashing import tagged
from protocol.records import RecordKey
from schemas.order import Entry, Order, ScanVersions
from tests.gallery.entries import (
    request_a_registered_client_did_not_sign,
    request_with_a_revoked_key,
)
from tests.gallery.hanging import A, alter_entry, alter_read, judge, order_of, part_of, started, with_part
from tests.gallery.orders import register_scanner, scan
from tests.worlds import World


def verdict_on(world: World, code: str, *parts: tuple[str, bytes]) -> Finding:
    """The verdict on an order contradiction."""
    return judge(build.order_contradiction(world.epochs, code, parts), world.epochs).finding


def entry(order: Order, index: int = 0) -> bytes:
    return build.entry_part(order, index)


def test_a_later_write_is_not_overlooked() -> None:
    """Who reads before somebody writes does not see it: in one order, and in two."""
    world = started()
    world.decide(world.get("a"), world.put("a", 3))
    world.decide(world.put("a", 4))
    reader = entry(order_of(world, 2), 0)
    for writer in (entry(order_of(world, 2), 1), entry(order_of(world, 3))):
        assert verdict_on(world, "order.stale_read", ("entry", reader), ("earlier", writer)) is Finding.NOTHING


@pytest.mark.parametrize(
    ("start", "end", "limit"),
    [("", "", 1), ("b", "", 10), ("", "a", 10), ("a", "b", 1)],
    ids=["beyond the limit", "before the start", "behind the end", "at the limit"],
)
def test_a_scan_sees_only_its_range(start: str, end: str, limit: int) -> None:
    """What a scan did not cover it does not overlook."""
    world = started()
    register_scanner(world)
    world.decide(scan(world, start, end, limit))
    reader = ("entry", entry(order_of(world, 3)))
    for sequence, index in ((0, 0), (0, 1), (1, 0)):
        writer = ("earlier", entry(order_of(world, sequence), index))
        assert verdict_on(world, "order.stale_read", reader, writer) is Finding.NOTHING


def test_a_deleted_record_may_be_created_again() -> None:
    """A tombstone is a version like any other."""
    world = started()
    world.decide(world.request("object.delete", {"key": "a"}))
    world.decide(world.put("a", 5))
    writer, reader = ("earlier", entry(order_of(world, 2))), ("entry", entry(order_of(world, 3)))
    assert verdict_on(world, "order.stale_read", reader, writer) is Finding.NOTHING
    assert verdict_on(world, "order.second_writer", reader, writer) is Finding.NOTHING


def test_a_key_may_be_revoked_in_the_batch_that_uses_it() -> None:
    """Use first, revocation after it."""
    world = started()
    world.decide(world.enrol("bob"))
    use = world.request("object.put", {"key": "b", "value": 6}, "bob")
    world.decide(use, world.request("sys.key.revoke", {"entity": "bob", "key_version": 1}))
    used, revoked = (entry(order_of(world, 3), index) for index in (0, 1))
    assert verdict_on(world, "order.stale_read", ("entry", used), ("earlier", revoked)) is Finding.NOTHING


def test_a_second_version_is_no_second_writer() -> None:
    """Whoever writes the next version, or another record, writes nothing twice."""
    world = started()
    first, other, second = (entry(order_of(world, sequence), index) for sequence, index in ((0, 0), (0, 1), (1, 0)))
    for earlier in (first, other):
        parts = ("entry", second), ("earlier", earlier)
        assert verdict_on(world, "order.second_writer", *parts) is Finding.NOTHING
    assert verdict_on(world, "order.second_writer", ("entry", first)) is Finding.NOTHING


def test_an_entry_does_not_contradict_itself() -> None:
    """It reads the version before the one it writes: shown twice, it is not the writer that it did not see."""
    world = started()
    order, _ = world.order(world.put("a", 3))
    itself = entry(order)
    for code in ("order.stale_read", "order.second_writer"):
        assert verdict_on(world, code, ("entry", itself), ("earlier", itself)) is Finding.NOTHING


SCAN = ScanVersions("object", "b", "x", 2, "m", False, ())


@pytest.mark.parametrize(
    ("scan", "names"),
    [
        (SCAN, "bcm"),
        (SCAN._replace(end=""), "bcm"),
        (SCAN._replace(exhausted=True, covered_to="x"), "bcmnw"),
        (SCAN._replace(exhausted=True, end="", covered_to=""), "bcmnwxz"),
        (SCAN._replace(start=""), "abcm"),
    ],
)
def test_what_a_scan_covers(scan: ScanVersions, names: str) -> None:
    """From its start on, its end not among it; to the last key that it saw, this one among it, or to its end."""
    assert "".join(name for name in "abcmnwxz" if covers(scan, RecordKey("object", name))) == names
    assert not any(covers(scan, RecordKey("other", name)) for name in "abcmnwxz")


def test_explanations_are_printable() -> None:
    """A key may hold what confuses a terminal."""
    assert name_of(A) == "object/a"
    assert name_of(A._replace(key="\u202e")) == "'object/\\u202e'"


def test_a_true_writer() -> None:
    """The entry that is named wrote the version, or is another one than that which is shown."""
    world = started()
    order, _ = world.order(world.get("a"))
    for sequence, index in ((1, 0), (0, 0), (0, 1)):
        writer = ("writer", entry(order_of(world, sequence), index))
        assert verdict_on(world, "order.false_writer", ("entry", entry(order)), writer) is Finding.NOTHING
    for sequence in (0, 1):
        shown = ("writer order", build.order_part(order_of(world, sequence)))
        assert verdict_on(world, "order.false_writer", ("entry", entry(order)), shown) is Finding.NOTHING


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"version": 0, "writer_sequence": -1, "writer_index": -1}, Finding.NOTHING),
        ({"version": 0, "writer_sequence": 0, "writer_index": 0}, Finding.GUILTY),
        ({"version": 0, "writer_sequence": -1, "writer_index": 0}, Finding.GUILTY),
        ({"version": -1, "writer_sequence": -1, "writer_index": -1}, Finding.GUILTY),
        ({"version": 2, "writer_sequence": -1}, Finding.GUILTY),
        ({"version": 1, "writer_sequence": -2}, Finding.GUILTY),
        ({"version": 2, "writer_sequence": 1, "writer_index": 0}, Finding.NOTHING),
        ({"version": 2, "writer_sequence": 2, "writer_index": 0}, Finding.NOTHING),
        ({"version": 2, "writer_sequence": 2, "writer_index": 1}, Finding.GUILTY),
        ({"version": 2, "writer_sequence": 2, "writer_index": 2}, Finding.GUILTY),
        ({"version": 2, "writer_sequence": 3, "writer_index": 0}, Finding.GUILTY),
    ],
    ids=str,
)
def test_writers_that_nobody_can_be(changes: dict[str, int], finding: Finding) -> None:
    """An absent record has none, the genesis wrote first versions only, all others stand before the reader."""
    world = started()
    order, _ = world.order(world.get("b"), world.get("a"))
    key = A._replace(namespace="sys", key="contract/object.get/1")
    altered = world.reorder(order, alter_read(order, 1, key, **changes))
    assert verdict_on(world, "order.false_writer", ("entry", entry(altered, 1))) is finding


@pytest.mark.parametrize(("index", "finding"), [(0, Finding.NOTHING), (1, Finding.GUILTY), (-1, Finding.GUILTY)])
def test_an_order_has_no_writer_beside_its_entries(index: int, finding: Finding) -> None:
    """Neither behind the last one nor before the first."""
    world = started()
    order, _ = world.order(world.get("a"))
    entries = order.entries if index == 0 else alter_read(order, 0, A, writer_index=index)
    shown = ("writer order", build.order_part(order_of(world, 1)))
    assert verdict_on(world, "order.false_writer", ("entry", entry(world.reorder(order, entries))), shown) is finding


def test_the_genesis_wrote_its_own_records_only() -> None:
    """A first version of something else was not there from the beginning."""
    world = started()
    order, _ = world.order(world.get("a"))
    altered = world.reorder(order, alter_read(order, 0, A, version=1, writer_sequence=-1, writer_index=0))
    assert verdict_on(world, "order.false_writer", ("entry", entry(altered))) is Finding.GUILTY


def test_time_falls_from_one_sequence_to_a_later_one() -> None:
    """Two orders of one sequence are two orders, and no falling time, whichever of them is the earlier one."""
    world = started()
    order, _ = world.order(world.get("a"))
    back = world.reorder(order, ordered_at_ms=world.now_ms - 5)
    parts = ("order", build.order_part(back)), ("previous", build.order_part(order))
    assert verdict_on(world, "order.time", *parts) is Finding.NOTHING
    before = ("previous", build.order_part(order_of(world, 1)))
    assert verdict_on(world, "order.time", parts[0], before) is Finding.GUILTY


def test_orders_that_are_not_neighbours() -> None:
    """The order two before is not the predecessor; time may stand still."""
    world = started()
    order, _ = world.order(world.get("a"))
    still = world.reorder(order, ordered_at_ms=world.now_ms - 1)
    this = ("order", build.order_part(order))
    for code in ("order.predecessor", "order.time"):
        for sequence in (0, 1):
            previous = ("previous", build.order_part(order_of(world, sequence)))
            assert verdict_on(world, code, this, previous) is Finding.NOTHING
    before = ("previous", build.order_part(order_of(world, 1)))
    assert verdict_on(world, "order.time", ("order", build.order_part(still)), before) is Finding.NOTHING
    assert verdict_on(world, "order.predecessor", this) is Finding.NOTHING
    backwards = ("order", build.order_part(order_of(world, 0))), ("previous", build.order_part(order))
    assert verdict_on(world, "order.time", *backwards) is Finding.NOTHING


def test_the_order_of_a_new_epoch_follows_the_cut() -> None:
    """Its predecessor is the order at the cut, not the void one after that."""
    world = started()
    void, _ = world.order(world.get("a"), store=False)
    world.begin_epoch()
    world.decide(world.get("b"))
    this = ("order", build.order_part(order_of(world, 2)))
    assert verdict_on(world, "order.predecessor", this, ("previous", build.order_part(order_of(world, 1)))) is (
        Finding.NOTHING
    )
    assert verdict_on(world, "order.predecessor", this, ("previous", build.order_part(void))) is Finding.NOTHING


def test_one_entry_is_not_two() -> None:
    """The same entry twice is one request."""
    world = started()
    parts = [("entry", entry(order_of(world, 1)))] * 2
    assert verdict_on(world, "order.repeated", *parts) is Finding.NOTHING


def test_two_requests_are_not_one() -> None:
    """The same call by the same entity at two places, and two others: each is a request of its own."""
    world = started()
    world.decide(world.get("a"), world.get("a"))
    first, second = (entry(order_of(world, 2), index) for index in (0, 1))
    for other in (second, entry(order_of(world, 1)), entry(order_of(world, 0))):
        assert verdict_on(world, "order.repeated", ("entry", first), ("entry", other)) is Finding.NOTHING


# --- Clients ---


def test_the_key_shown_must_be_the_one_that_was_read() -> None:
    """Another entity's key record, or another version of it, proves nothing about a request."""
    revoked, forged = request_with_a_revoked_key(), request_a_registered_client_did_not_sign()
    for name in ("key", "key pin"):
        mixed = with_part(forged.evidence, name, part_of(revoked.evidence, name))
        assert judge(mixed, forged.epochs).finding is Finding.NOTHING


def test_the_key_shown_must_have_its_pin() -> None:
    """An accuser's own key in the place of a client's: the client's signature would fail under it."""
    world = started()
    world.decide(world.enrol("bob"))
    order, _ = world.order(world.request("object.get", {"key": "a"}, "bob"))
    key = A._replace(namespace="sys", key="entity/bob/key/1")
    record = world.auditor.record(key)
    false = record._replace(value=record.value.replace(b'"p256"', b'"none"'))
    pin = ("key pin", build.decided_leaf_part(world.decisions[2], 0))
    true_key, false_key = (("key", build.record_part(key, shown)) for shown in (record, false))
    this = ("entry", entry(order))
    assert verdict_on(world, "order.client", this, false_key, pin) is Finding.NOTHING
    assert verdict_on(world, "order.client", this, true_key, pin) is Finding.NOTHING
    other_pin = ("key pin", build.decided_leaf_part(world.decisions[1], 0))
    assert verdict_on(world, "order.client", this, true_key, other_pin) is Finding.NOTHING


def test_a_key_that_was_not_read_proves_nothing() -> None:
    """The entry reads version 1 of the key; what it was later does not matter."""
    world = started()
    world.decide(world.enrol("bob"))
    world.decide(world.request("object.get", {"key": "a"}, "bob"))
    world.decide(world.request("sys.key.revoke", {"entity": "bob", "key_version": 1}))
    key = A._replace(namespace="sys", key="entity/bob/key/1")
    parts = [
        ("entry", entry(order_of(world, 3))),
        ("key", build.record_part(key, world.auditor.record(key))),
        ("key pin", build.decided_leaf_part(world.decisions[4], 0)),
    ]
    assert verdict_on(world, "order.client", *parts) is Finding.NOTHING


def test_a_key_is_that_of_the_place_which_was_read() -> None:
    """The same version, said to be written elsewhere: that is another contradiction, and nothing about the client."""
    world = started()
    world.decide(world.enrol("bob"))
    order, _ = world.order(world.request("object.get", {"key": "a"}, "bob", signer="mallory"))
    key = A._replace(namespace="sys", key="entity/bob/key/1")
    shown = [
        ("key", build.record_part(key, world.auditor.record(key))),
        ("key pin", build.decided_leaf_part(world.decisions[2], 0)),
    ]
    assert verdict_on(world, "order.client", ("entry", entry(order)), *shown) is Finding.GUILTY
    for changes in ({"writer_sequence": 1}, {"writer_index": 1}):
        moved = world.reorder(order, alter_read(order, 0, key, **changes))
        assert verdict_on(world, "order.client", ("entry", entry(moved)), *shown) is Finding.NOTHING


def test_a_key_is_not_shown_where_the_entry_convicts_alone() -> None:
    """Beside an entry that reads no key, or an absent one, whatever else is shown proves nothing."""
    world = started()
    world.decide(world.enrol("bob"))
    order, _ = world.order(world.request("object.get", {"key": "a"}, "bob"))
    key = A._replace(namespace="sys", key="entity/bob/key/1")
    shown = [
        ("key", build.record_part(key, world.auditor.record(key))),
        ("key pin", build.decided_leaf_part(world.decisions[2], 0)),
    ]
    reads = tuple(read for read in Entry.from_bytes(order.entries[0]).reads if (read.namespace, read.key) != key)
    unread = world.reorder(order, alter_entry(order, 0, reads=reads))
    absent = world.reorder(order, alter_read(order, 0, key, version=0, writer_sequence=-1, writer_index=-1))
    for altered in (unread, absent):
        assert verdict_on(world, "order.client", ("entry", entry(altered))) is Finding.GUILTY
        assert verdict_on(world, "order.client", ("entry", entry(altered)), *shown) is Finding.NOTHING


def test_a_key_that_nobody_had() -> None:
    """An entry that claims that its entity's key does not exist had to be rejected."""
    world = started()
    order, _ = world.order(world.get("a"))
    key = A._replace(namespace="sys", key="entity/admin/key/1")
    absent = world.reorder(order, alter_read(order, 0, key, version=0, writer_sequence=-1, writer_index=-1))
    assert verdict_on(world, "order.client", ("entry", entry(absent))) is Finding.GUILTY


def test_an_entry_that_is_well_formed() -> None:
    """An honest entry contradicts nothing by itself."""
    world = started()
    for code in ("order.malformed", "order.time", "order.not_after", "order.client", "order.false_writer"):
        assert verdict_on(world, code, ("entry", entry(order_of(world, 1)))) is Finding.NOTHING
    assert verdict_on(world, "order.malformed", ("order", build.order_part(order_of(world, 1)))) is Finding.NOTHING


def test_an_order_without_entries_is_well_formed() -> None:
    """An empty one, and one of which every request was rejected; a negative count is none."""
    world = started()
    empty, _ = world.order()
    for changes, finding in (
        ({}, Finding.NOTHING),
        ({"kind": "normal"}, Finding.NOTHING),
        ({"count": 1}, Finding.GUILTY),
        ({"kind": "normal", "count": 1}, Finding.NOTHING),
        ({"kind": "normal", "count": -1}, Finding.GUILTY),
    ):
        shown = ("order", build.order_part(world.reorder(empty, **changes)))
        assert verdict_on(world, "order.malformed", shown) is finding, changes


def test_an_entry_that_does_not_parse_contradicts_no_other() -> None:
    """It is judged as malformed, and as nothing else."""
    world = started()
    order, _ = world.order(world.get("a"))
    broken = world.reorder(order, (order.entries[0] + b"\0",))
    for code in ("order.time", "order.not_after", "order.client", "order.false_writer"):
        assert verdict_on(world, code, ("entry", entry(broken))) is Finding.NOTHING
    foreign = world.reorder(order, alter_entry(order, 0, envelope=tagged("salt", b"rubbish")))
    assert verdict_on(world, "order.malformed", ("entry", entry(foreign))) is Finding.GUILTY
    assert Entry.from_bytes(foreign.entries[0]).index == 0
