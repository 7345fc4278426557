"""What the Ledger makes of an order that contradicts its records: each refusal proves its code."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from protocol.evidence.decisions import select_decisions
from protocol.evidence.objections import Objection, Objector
from protocol.evidence.verdicts import AUDITOR, Finding, NothingProvenError
from protocol.hashing import ZERO_HASH, tagged
from protocol.records import RecordKey
from protocol.requests import OpenedRequest
from schemas.exhibit import SignedLeaf
from schemas.order import Entry, Order, OrderHeader, ReadVersion, WriteVersion
from tests.gallery import Exhibit, entries, orders
from tests.gallery.hanging import A, alter_entry, alter_read, judge, order_of, part_of, started
from tests.gallery.orders import register_scanner, scan
from tests.worlds import World


def assert_proves(world: World, objection: Objection, code: str) -> None:
    """Require that the evidence convicts the Auditor, with this code."""
    assert objection.code == code
    messages = [world.decisions[sequence].to_message() for sequence in objection.needed_decisions]
    found = {sequence: order_of(world, sequence) for sequence in objection.needed_orders}
    verdict = judge(objection.build(found, select_decisions(messages, world.epochs)), world.epochs)
    assert (verdict.finding, verdict.culprit) == (Finding.GUILTY, AUDITOR), verdict


def own_entry(world: World, order: Order, index: int, *requests: OpenedRequest) -> Entry:
    """The entry that the Ledger makes of a request itself."""
    header = OrderHeader.from_bytes(order.header)
    assembled = world.ledger.execute(requests, header.sequence, header.ordered_at_ms)
    return Entry.from_bytes(assembled.entries[index])


Alter = Callable[[World, Order], tuple[bytes, ...]]

FALSE_READS: dict[str, tuple[str, Alter]] = {
    "stale read": (
        "order.stale_read",
        lambda _, order: alter_read(order, 0, A, version=1, writer_sequence=0, writer_index=0),
    ),
    "version 0": (
        "order.stale_read",
        lambda _, order: alter_read(order, 0, A, version=0, writer_sequence=-1, writer_index=-1),
    ),
    "version 0 of the genesis": (
        "order.stale_read",
        lambda _, order: alter_read(
            order,
            0,
            RecordKey("sys", "contract/object.put/1"),
            version=0,
            writer_sequence=-1,
            writer_index=-1,
        ),
    ),
    "another writer": (
        "order.false_writer",
        lambda _, order: alter_read(order, 0, A, writer_sequence=0, writer_index=1),
    ),
    "a writer that is not there": (
        "order.false_writer",
        lambda _, order: alter_read(order, 0, A, writer_index=7),
    ),
    "a writer in the future": (
        "order.false_writer",
        lambda _, order: alter_read(order, 0, A, writer_sequence=2),
    ),
    "a version that is not there": (
        "order.false_writer",
        lambda _, order: alter_read(order, 0, A, version=7),
    ),
    "the genesis as writer": (
        "order.false_writer",
        lambda _, order: alter_read(order, 0, A, writer_sequence=-1),
    ),
    "a write again": (
        "order.second_writer",
        lambda _, order: alter_entry(order, 0, writes=(WriteVersion("object", "a", 2, False),)),
    ),
    "other writes": ("order.versions", lambda _, order: alter_entry(order, 0, writes=())),
    "another record": (
        "order.versions",
        lambda _, order: alter_entry(
            order,
            0,
            reads=(*Entry.from_bytes(order.entries[0]).reads, ReadVersion("object", "b", 1, 0, 1)),
        ),
    ),
}


@pytest.mark.parametrize(("code", "alter"), FALSE_READS.values(), ids=FALSE_READS)
def test_versions_that_are_not_there(code: str, alter: Alter) -> None:
    """Whatever versions the order lies about."""
    world = started()
    request = world.put("a", 3)
    order, _ = world.order(request, store=False)
    lying = world.reorder(order, alter(world, order))
    objection = Objector(world.epochs, lying).object_to_versions(0, own_entry(world, lying, 0, request))
    assert objection.entry_index == 0
    assert_proves(world, objection, code)


def test_write_skew_in_one_order() -> None:
    """The writer overlooked stands in the same order: no earlier order is needed."""
    world = started()
    requests = (world.put("a", 3), world.get("a"))
    order, _ = world.order(*requests, store=False)
    lying = world.reorder(order, alter_read(order, 1, A, version=2, writer_sequence=1, writer_index=0))
    objection = Objector(world.epochs, lying).object_to_versions(1, own_entry(world, lying, 1, *requests))
    assert objection.needed_orders == frozenset()
    assert_proves(world, objection, "order.stale_read")


def test_a_writer_in_the_same_order_that_did_not_write() -> None:
    """Entry 0 wrote object "b", not "a"."""
    world = started()
    requests = (world.put("b", 3), world.get("a"))
    order, _ = world.order(*requests, store=False)
    lying = world.reorder(order, alter_read(order, 1, A, version=3, writer_sequence=2, writer_index=0))
    objection = Objector(world.epochs, lying).object_to_versions(1, own_entry(world, lying, 1, *requests))
    assert_proves(world, objection, "order.false_writer")


@pytest.mark.parametrize("kept", [0, 1], ids=["none", "the first"])
def test_a_scan_that_omits_a_key(kept: int) -> None:
    """The order whose entry wrote what the scan does not have."""
    world = started()
    register_scanner(world)
    request = scan(world)
    order, _ = world.order(request, store=False)
    (scanned,) = Entry.from_bytes(order.entries[0]).scans
    blind = world.reorder(order, alter_entry(order, 0, scans=(scanned._replace(rows=scanned.rows[:kept]),)))
    objection = Objector(world.epochs, blind).object_to_versions(0, own_entry(world, blind, 0, request))
    assert_proves(world, objection, "order.stale_read")


def test_a_request_that_had_to_be_rejected() -> None:
    """A contract that nobody registered: executing again rejects it here, too."""
    world = started()
    good, bad = world.get("a"), world.request("object.none", {})
    order, _ = world.order(good, store=False)
    key = RecordKey("sys", "contract/object.get/1")
    reads = tuple(
        ReadVersion("sys", "contract/object.none/1", 0, -1, -1) if (read.namespace, read.key) == key else read
        for read in Entry.from_bytes(order.entries[0]).reads
        if read.key != "a"
    )
    lying = world.reorder(order, alter_entry(order, 0, envelope=bad.envelope_bytes, reads=reads))
    assert_proves(world, Objector(world.epochs, lying).object_to_versions(0, None), "order.versions")


def test_what_only_its_own_batch_wrote_cannot_be_shown() -> None:
    """No decision shows what an undecided order's own entries wrote: the Ledger halts, and accuses nobody."""
    world = started()
    requests = (world.put("a", 3), world.put("a", 4))
    order, _ = world.order(*requests, store=False)
    lying = world.reorder(order, alter_entry(order, 1, writes=()))
    with pytest.raises(NothingProvenError):
        Objector(world.epochs, lying).object_to_versions(1, own_entry(world, lying, 1, *requests))


# --- Clients ---


@pytest.mark.parametrize(
    "make",
    [
        entries.request_nobody_signed,
        entries.request_a_registered_client_did_not_sign,
        entries.request_with_a_revoked_key,
        entries.request_whose_key_was_not_read,
    ],
)
def test_requests_that_no_client_signed(make: Callable[[], Exhibit]) -> None:
    """The Ledger finds the same parts as the gallery was made of."""
    shown = make()
    leaf = SignedLeaf.from_bytes(part_of(shown.evidence, "entry"))
    order = Order(header=leaf.header, entries=(leaf.leaf,), signature=leaf.signature)
    world = started()
    world.decide(world.enrol("bob"))
    world.decide(world.request("sys.key.revoke", {"entity": "bob", "key_version": 1}))
    objection = Objector(shown.epochs, order).object_to_client(0)
    assert objection.code == "order.client"
    evidence = objection.build({}, world.decisions)
    assert [part.name for part in evidence.parts] == [part.name for part in shown.evidence.parts]
    assert part_of(evidence, "entry") == part_of(shown.evidence, "entry")


def test_a_client_that_did_not_sign() -> None:
    """The key's record, and the decision that wrote it, are needed."""
    world = started()
    world.decide(world.enrol("bob"))
    order, _ = world.order(world.request("object.get", {"key": "a"}, "bob", signer="mallory"), store=False)
    objection = Objector(world.epochs, order).object_to_client(0)
    assert objection.needed_decisions == {2}
    assert_proves(world, objection, "order.client")


def test_a_key_of_the_same_batch_cannot_be_shown() -> None:
    """Nobody has signed yet what the key is."""
    world = started()
    forged = world.request("object.get", {"key": "a"}, "bob", signer="mallory")
    order, _ = world.order(world.enrol("bob"), forged, store=False)
    with pytest.raises(NothingProvenError):
        Objector(world.epochs, order).object_to_client(1)


# --- Repetitions, entries and headers alone ---


def test_a_repeated_request() -> None:
    """The replay guard knows the sequence, not the place."""
    world = started()
    request = world.put("a", 3)
    world.decide(world.get("b"), request)
    order, _ = world.order(world.get("a"), request, store=False)
    objection = Objector(world.epochs, order).object_to_repetition(1, 2)
    assert objection.needed_orders == {2}
    assert_proves(world, objection, "order.repeated")
    with pytest.raises(NothingProvenError):
        Objector(world.epochs, order).object_to_repetition(1, 0).build({0: order_of(world, 0)}, {})
    with pytest.raises(NothingProvenError):
        objection.build({}, {})


def test_a_request_twice_in_one_order() -> None:
    """Both places are known."""
    world = started()
    request = world.get("a")
    order, _ = world.order(request, request, store=False)
    assert_proves(world, Objector(world.epochs, order).object_to_repetition(1, (2, 0)), "order.repeated")


@pytest.mark.parametrize(
    "make",
    [
        orders.not_after,
        orders.expired,
        entries.entry_that_is_none,
        entries.entry_with_another_index,
        entries.entry_of_another_ledger,
    ],
)
def test_entries_at_fault_by_themselves(make: Callable[[], Exhibit]) -> None:
    """The Ledger says only which entry; what is wrong with it is found here."""
    shown = make()
    leaf = SignedLeaf.from_bytes(part_of(shown.evidence, "entry"))
    order = Order(header=leaf.header, entries=(leaf.leaf,), signature=leaf.signature)
    assert Objector(shown.epochs, order).object_to_entry(0).build({}, {}) == shown.evidence


def test_an_entry_that_is_not_at_fault() -> None:
    """Nothing can be proved by it alone."""
    world = started()
    with pytest.raises(NothingProvenError):
        Objector(world.epochs, order_of(world, 1)).object_to_entry(0)


def test_headers() -> None:
    """Another predecessor, a time that falls, an empty order with entries."""
    world = started()
    order, _ = world.order(world.get("a"), store=False)
    for changes, code in (
        ({"previous_order_hash": ZERO_HASH}, "order.predecessor"),
        ({"ordered_at_ms": 1}, "order.time"),
        ({"kind": "empty"}, "order.malformed"),
    ):
        lying = world.reorder(order, **changes)
        objection = Objector(world.epochs, lying).object_to_header(code)
        assert objection.entry_index == -1
        assert_proves(world, objection, code)


def test_the_predecessor_of_the_first() -> None:
    """Nothing is before it."""
    world = World()
    order, _ = world.order(world.get("a"), store=False)
    lying = world.reorder(order, previous_order_hash=tagged("order", b""))
    objection = Objector(world.epochs, lying).object_to_header("order.predecessor")
    assert objection.needed_orders == frozenset()
    assert_proves(world, objection, "order.predecessor")


def test_an_honest_order_cannot_be_objected_to() -> None:
    """Whatever the Ledger asks for, an honest order's evidence convicts nobody."""
    world = started()
    request = world.put("a", 3)
    order, _ = world.order(request, store=False)
    objector = Objector(world.epochs, order)
    found = {sequence: order_of(world, sequence) for sequence in (0, 1)}
    own = own_entry(world, order, 0, request)
    altered = replace(own, reads=tuple(read._replace(version=9) for read in own.reads))
    for objection in (
        objector.object_to_versions(0, None),
        objector.object_to_versions(0, own),
        objector.object_to_versions(0, altered),
        objector.object_to_client(0),
        objector.object_to_header("order.predecessor"),
        objector.object_to_header("order.time"),
        objector.object_to_header("order.malformed"),
    ):
        verdict = judge(objection.build(found, world.decisions), world.epochs)
        assert verdict.finding is Finding.NOTHING


# --- What an objection takes ---


def object_to(world: World, order: Order, own: Entry, **changes: int) -> Objection:
    """The objection to an order whose entry 0 reads object "a" otherwise."""
    return Objector(world.epochs, world.reorder(order, alter_read(order, 0, A, **changes))).object_to_versions(0, own)


@pytest.mark.parametrize(
    ("changes", "code", "needed", "names"),
    [
        ({"version": 1, "writer_sequence": 0}, "order.stale_read", {1}, ["entry", "earlier"]),
        ({"writer_sequence": 0}, "order.false_writer", {0}, ["entry", "writer"]),
        ({"writer_sequence": 0, "writer_index": 2}, "order.false_writer", {0}, ["entry", "writer order"]),
        ({"writer_sequence": 0, "writer_index": -1}, "order.false_writer", {0}, ["entry", "writer order"]),
        ({"writer_sequence": 2}, "order.false_writer", set(), ["entry"]),
        ({"writer_sequence": 2, "writer_index": 1}, "order.false_writer", set(), ["entry"]),
        ({"writer_sequence": 3}, "order.false_writer", set(), ["entry"]),
        ({"writer_sequence": -1}, "order.false_writer", set(), ["entry"]),
    ],
    ids=str,
)
def test_the_parts_that_a_false_read_takes(
    changes: dict[str, int], code: str, needed: set[int], names: list[str]
) -> None:
    """The entry alone where it refutes itself; else what really wrote, or the order that has no such entry."""
    world = started()
    request = world.get("a")
    order, _ = world.order(request, store=False)
    objection = object_to(world, order, own_entry(world, order, 0, request), **changes)
    assert (objection.code, set(objection.needed_orders), set(objection.needed_decisions)) == (code, needed, set())
    built = objection.build({sequence: order_of(world, sequence) for sequence in needed}, {})
    assert [part.name for part in built.parts if part.name != "claim"] == names
    assert judge(built, world.epochs).culprit == AUDITOR


def test_an_absent_record_has_no_writer() -> None:
    """An entry that names one for version 0 refutes itself."""
    world = started()
    request = world.get("c")
    order, _ = world.order(request, store=False)
    own = own_entry(world, order, 0, request)
    named = world.reorder(order, alter_read(order, 0, RecordKey("object", "c"), writer_sequence=1, writer_index=0))
    objection = Objector(world.epochs, named).object_to_versions(0, own)
    assert (objection.code, objection.needed_orders) == ("order.false_writer", frozenset())
    assert judge(objection.build({}, {}), world.epochs).culprit == AUDITOR


def test_a_scan_overlooks_nothing_that_is_absent() -> None:
    """A record that the request also read, and that was not there, is missing from no scan."""
    world = started()
    register_scanner(world)
    request = scan(world)
    order, _ = world.order(request, store=False)
    own = own_entry(world, order, 0, request)
    absent = ReadVersion("object", "c", 0, -1, -1)
    seen = replace(own, reads=(*own.reads, absent), writes=())
    altered = world.reorder(order, alter_entry(order, 0, writes=(WriteVersion("object", "z", 1, False),)))
    objection = Objector(world.epochs, altered).object_to_versions(0, seen)
    assert objection.code == "order.versions"


def test_our_own_record_that_names_no_entry() -> None:
    """Damage in our own store shows as something that cannot be built, and accuses nobody."""
    world = started()
    request = world.get("a")
    order, _ = world.order(request, store=False)
    own = own_entry(world, order, 0, request)
    for index in (-1, 1):
        reads = tuple(
            r._replace(version=9, writer_sequence=1, writer_index=index) if r.key == "a" else r for r in own.reads
        )
        objection = Objector(world.epochs, order).object_to_versions(0, replace(own, reads=reads))
        assert objection.needed_orders == {1}
        with pytest.raises(NothingProvenError, match="has no entry"):
            objection.build({1: order_of(world, 1)}, {})


def test_a_key_that_the_order_says_is_absent() -> None:
    """Whatever writer it names for that, the entry convicts alone."""
    world = started()
    world.decide(world.enrol("bob"))
    order, _ = world.order(world.request("object.get", {"key": "a"}, "bob"), store=False)
    key = RecordKey("sys", "entity/bob/key/1")
    for writer in ({"writer_sequence": -1, "writer_index": -1}, {"writer_sequence": 1, "writer_index": 0}):
        absent = world.reorder(order, alter_read(order, 0, key, version=0, **writer))
        objection = Objector(world.epochs, absent).object_to_client(0)
        assert (objection.code, objection.needed_decisions) == ("order.client", frozenset())
        assert judge(objection.build({}, {}), world.epochs).culprit == AUDITOR
