"""What one request reads and writes: counted to the last record, seen as it was before, written at the end."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from protocol.contracts.calls import Read, Row, Scan
from protocol.contracts.overlay import Overlay
from protocol.contracts.transaction import CallFailed, Transaction, canonical
from protocol.hashing import ZERO_HASH, tagged
from protocol.limits import Limits
from protocol.records import ABSENT, DamagedRecordError, Record, RecordKey, successor

LEDGER_ID = tagged("genesis", b"transactions")
LIMITS = Limits.tiny()
ROOM = LIMITS.records_per_request


def key(name: str) -> RecordKey:
    """A record's place."""
    return RecordKey("space", name)


def next_of(name: str, before: Record, value: bytes | None) -> Record:
    """The next version of a record, as a batch before this one wrote it."""
    written: dict[str, Any] = {"request_id": ZERO_HASH, "writer_sequence": 3, "writer_index": 1}
    return successor(LEDGER_ID, key(name), before, value, **written)


class Store:
    """A `Fetch` over versions in memory."""

    def __init__(self, **values: Sequence[bytes | None]) -> None:
        self.history: dict[str, list[Record]] = {}
        for name, versions in values.items():
            chain = self.history[name] = [ABSENT]
            for value in versions:
                chain.append(next_of(name, chain[-1], value))

    def record(self, key: RecordKey) -> Record:
        return self.history.get(key.key, [ABSENT])[-1] if key.namespace == "space" else ABSENT

    def scan(self, namespace: str, start: str, end: str, limit: int) -> Sequence[tuple[str, Record]]:
        names = sorted(name for name in self.history if start <= name and (not end or name < end))
        return [(name, self.history[name][-1]) for name in names[:limit]]

    def versions(self, key: RecordKey, newest: int, count: int) -> Sequence[Record]:
        return self.history[key.key][1:][max(0, newest - count) : newest][::-1]


def begin(store: Store | None = None, **limits: int) -> Transaction:
    """A request over a store."""
    return Transaction(Overlay(LEDGER_ID, store or Store(), {}), replace(LIMITS, **limits))


def failure(act: Callable[[], object]) -> str:
    """The code with which a call fails."""
    with pytest.raises(CallFailed) as caught:
        act()
    return caught.value.code


# --- How many ---


def test_records_are_counted_once_each() -> None:
    """As many as the limit says, however often and in whatever way each is touched."""
    request = begin()
    for _ in range(3):
        for number in range(ROOM):
            request.get(key(str(number)))
            request.put(key(str(number)), number)
            request.delete(key(str(number)))
    assert failure(lambda: request.get(key("more"))) == "contract.records"
    assert key("more") not in [read[:2] for read in request.reads()]


def test_a_scan_counts_and_each_of_its_rows() -> None:
    """One that finds nothing as well; its rows count though they were read before."""
    empty = begin()
    for _ in range(ROOM):
        assert empty.scan("space", "", "", 9) == ([], None)
    assert failure(lambda: empty.scan("space", "", "", 9)) == "contract.records"
    store = Store(**{str(number): [b"1"] for number in range(ROOM)})
    fits, exceeds = begin(store), begin(store)
    assert len(fits.scan("space", "", "", ROOM - 1)[0]) == ROOM - 1
    assert failure(lambda: fits.get(key("0"))) == "contract.records"
    assert failure(lambda: exceeds.scan("space", "", "", ROOM)) == "contract.records"


def test_versions_of_a_history_count() -> None:
    """The newest once, as a read."""
    store = Store(a=[b"%d" % number for number in range(ROOM + 1)])
    fits, exceeds = begin(store), begin(store)
    assert len(fits.history(key("a"), ROOM)) == ROOM
    assert len(fits.history(key("a"), 1)) == 1
    assert failure(lambda: fits.get(key("b"))) == "contract.records"
    assert failure(lambda: exceeds.history(key("a"), ROOM + 1)) == "contract.records"


# --- Reading and writing ---


def test_reads_are_of_the_version_before() -> None:
    """In the order of the first look, whatever the request wrote meanwhile; its own writes are what it gets."""
    store = Store(a=[b"1"], b=[b"1", None])
    request = begin(store)
    assert [request.get(key(name)) for name in "bac"] == [None, 1, None]
    request.put(key("a"), {"x": 2})
    request.put(key("d"), 4)
    assert [request.get(key(name)) for name in "ad"] == [{"x": 2}, 4]
    a, b = store.history["a"][-1], store.history["b"][-1]
    assert request.reads() == (
        Read("space", "b", 2, 3, 1, b.record_hash),
        Read("space", "a", 1, 3, 1, a.record_hash),
        Read("space", "c", 0, -1, -1, ZERO_HASH),
        Read("space", "d", 0, -1, -1, ZERO_HASH),
    )


def test_writes_are_applied_in_the_order_they_began() -> None:
    """One version each, with the last value; what never was is not deleted, what was not kept is not written."""
    store = Store(a=[b"1"], b=[b"1"], gone=[b"1", None])
    overlay = Overlay(LEDGER_ID, store, {})
    request = Transaction(overlay, LIMITS)
    request.put(key("new"), 1)
    request.delete(key("b"))
    request.put(key("a"), 2)
    request.put(key("new"), [])
    request.put(key("passing"), 1)
    request.delete(key("passing"))
    request.delete(key("gone"))
    assert request.output_bytes() == len(b"[]") + len(b"2")
    writes = request.apply(LEDGER_ID, tagged("request", b"me"), 9, 2)
    expected = [("new", ABSENT, b"[]"), ("b", store.history["b"][-1], None), ("a", store.history["a"][-1], b"2")]
    made = [
        successor(
            LEDGER_ID, key(name), before, value, request_id=tagged("request", b"me"), writer_sequence=9, writer_index=2
        )
        for name, before, value in expected
    ]
    assert [(write.namespace, write.key, write.record) for write in writes] == [
        ("space", name, record) for (name, *_), record in zip(expected, made, strict=True)
    ]
    assert [overlay.record(key(name)) for name, *_ in expected] == made


def test_what_is_deleted_and_written_again_is_written() -> None:
    """Of a record that exists, and the other way round."""
    request = begin(Store(a=[b"1"], b=[b"1"]))
    request.delete(key("a"))
    assert request.get(key("a")) is None
    request.put(key("a"), 2)
    request.put(key("b"), 2)
    request.delete(key("b"))
    assert (request.get(key("a")), request.get(key("b"))) == (2, None)
    writes = request.apply(LEDGER_ID, ZERO_HASH, 9, 0)
    assert [(write.key, write.record.value, write.record.deleted) for write in writes] == [
        ("a", b"2", False),
        ("b", b"", True),
    ]


# --- Ranges ---


def scan_of(store: Store, start: str, end: str, limit: int, **pending: object) -> tuple[Any, str | None, Scan]:
    """Rows, where to go on, and what is recorded of a scan after these writes; None deletes."""
    request = begin(store, records_per_request=64)
    for name, value in pending.items():
        if value is None:
            request.delete(key(name))
        else:
            request.put(key(name), value)
    rows, rest = request.scan("space", start, end, limit)
    (scan,) = request.scans
    return rows, rest, scan


LETTERS = Store(b=[b"1"], c=[b"1"], d=[b"1", None], e=[b"1"])


@pytest.mark.parametrize(
    ("start", "end", "limit", "names", "rest", "covered_to", "exhausted"),
    [
        ("", "", 9, "bcde", None, "", True),
        ("", "", 5, "bcde", None, "", True),
        ("", "", 4, "bcde", "e\0", "e", False),
        ("", "", 2, "bc", "c\0", "c", False),
        ("c", "e", 3, "cd", None, "e", True),
        ("c", "e", 2, "cd", "d\0", "d", False),
        ("c", "c\0", 2, "c", None, "c\0", True),
        ("x", "z", 1, "", None, "z", True),
    ],
)
def test_what_a_scan_has_covered(
    start: str, end: str, limit: int, names: str, rest: str | None, covered_to: str, exhausted: bool
) -> None:
    """Fewer rows than asked for: up to the end. As many: up to the last one seen. Deleted rows are recorded."""
    rows, found_rest, scan = scan_of(LETTERS, start, end, limit)
    assert (rows, found_rest) == ([(name, b"1") for name in names if name != "d"], rest)
    versions = {name: LETTERS.history[name][-1] for name in names}
    assert scan == Scan(
        "space",
        start,
        end,
        limit,
        covered_to,
        exhausted,
        tuple(Row(name, record.version, 3, 1, record.record_hash) for name, record in versions.items()),
    )


def test_nothing_between_an_end_and_a_start_behind_it() -> None:
    """No scan is recorded, and none is counted."""
    request = begin(LETTERS)
    for start, end in (("c", "c"), ("d", "c")):
        assert request.scan("space", start, end, 9) == ([], None)
    assert request.scans == []


def test_own_writes_within_what_was_covered() -> None:
    """They are rows where the scan looked, its bounds as they are; what it did not reach is left for the next."""
    rows, rest, _ = scan_of(LETTERS, "b", "e", 9, a=0, b=2, c=None, d=3, e=4, bb=5)
    assert (rows, rest) == ([("b", b"2"), ("bb", b"5"), ("d", b"3")], None)
    rows, rest, _ = scan_of(LETTERS, "", "", 2, c=2, cc=3)
    assert (rows, rest) == ([("b", b"1"), ("c", b"2")], "c\0")
    rows, rest, _ = scan_of(LETTERS, "", "", 2, a=0, bb=3)
    assert (rows, rest) == ([("a", b"0"), ("b", b"1")], "bb")
    rows, rest, scan = scan_of(Store(), "", "", 2, a=1, b=2, c=3)
    assert (rows, rest, scan.exhausted, scan.rows) == ([("a", b"1"), ("b", b"2")], "c", True, ())


def test_writes_of_another_namespace_are_no_rows() -> None:
    """Though their keys lie in the range."""
    request = begin(LETTERS)
    request.put(RecordKey("other", "c"), 9)
    assert request.scan("space", "c", "d", 9)[0] == [("c", b"1")]


# --- Histories ---


def test_a_history_is_of_what_was_before() -> None:
    """Newest first, deletions among them, no more than asked for and without own writes; an absent record has none."""
    request = begin(Store(a=[b"1", None, b"3"], b=[b"1", None]))
    request.put(key("a"), 4)
    assert [(record.version, record.deleted) for record in request.history(key("a"), 9)] == [
        (3, False),
        (2, True),
        (1, False),
    ]
    assert [record.version for record in request.history(key("a"), 2)] == [3, 2]
    assert [record.version for record in request.history(key("b"), 9)] == [2, 1]
    assert request.history(key("c"), 9) == []


@pytest.mark.parametrize("damage", ["missing", "altered"])
def test_a_history_with_a_gap(damage: str) -> None:
    """A version that is missing, or that is not the one the next was written on: our own store is damaged."""
    store = Store(a=[b"1", b"2", b"3"])
    other = next_of("a", ABSENT, b"9")
    store.history["a"][1:2] = [] if damage == "missing" else [other]
    with pytest.raises(DamagedRecordError):
        begin(store).history(key("a"), 3)


# --- Values ---

NO_VALUES = (1.0, 1e16, 5e-324, -1e-7, [1e22], {"a": 2.5}, 2**53, -(2**53), {1: 2}, {"a": {1}})


def test_a_value_at_its_bound() -> None:
    """As many bytes as may be, for a value and for an output."""
    assert canonical("x" * 8, 10) == b'"xxxxxxxx"'
    assert failure(lambda: canonical("x" * 9, 10)) == "contract.output_too_large"
    request = begin()
    request.put(key("a"), "x" * (LIMITS.value_bytes - 2))
    assert failure(lambda: request.put(key("b"), "x" * (LIMITS.value_bytes - 1))) == "contract.output_too_large"


@pytest.mark.parametrize("value", NO_VALUES, ids=repr)
def test_values_that_canonical_json_cannot_hold(value: object) -> None:
    """Floats with and without a point, great integers, other keys, lone surrogates."""
    assert failure(lambda: canonical(value, 1000)) == "contract.value"


@pytest.mark.parametrize("opening", ["list", "dict", "both"])
def test_depth_of_values(opening: str) -> None:
    """Thirty-two levels are a value, one more is none, of whichever brackets; side by side they are no depth."""

    def nested(levels: int) -> object:
        made: object = 1
        for level in range(levels):
            made = [made] if opening == "list" or (opening == "both" and level % 2) else {"a": made}
        return made

    assert canonical(nested(32), 1000).count(b"1") == 1
    assert failure(lambda: canonical(nested(33), 1000)) == "contract.value"
    assert canonical([[], {}] * 40, 1000) == b"[" + b",".join([b"[],{}"] * 40) + b"]"
