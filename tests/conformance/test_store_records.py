"""What every record store promises of records, versions and scans, in memory and on a real Valkey."""

import pytest

from protocol.hashing import ZERO_HASH
from protocol.limits import Limits
from protocol.records import ABSENT, RecordKey
from storage.ports import (
    ReadCheck,
    RecordStore,
    RecordWrite,
    Refusal,
    ReplayEntry,
    RequestExpiry,
    ScanRange,
    Stored,
    Version,
)
from tests.store_calls import ALICE, BOB, call, read, scan, version, write


class TestRecords:
    def test_what_was_never_written_is_absent(self, store: RecordStore) -> None:
        """Absence is an answer, not an error."""
        assert store.fetch([ALICE]).records == {ALICE: ABSENT}

    def test_any_name_may_be_asked_for(self, store: RecordStore) -> None:
        """A request's advisory keys are fetched as they are: nothing that a client may write there stops a party."""
        names = ("", "\0", "a\0b", "\U0010ffff", "\ud7ff\ue000", "k" * 60_000, "%s", "h:1:a:b")
        keys = [RecordKey(namespace, key) for namespace in (*names, "bank") for key in names]
        assert store.fetch(keys).records == dict.fromkeys(keys, ABSENT)

    def test_the_longest_names_are_kept(self, store: RecordStore) -> None:
        """Whatever the limits allow, in a namespace of its own store or not, with all versions."""
        for namespace in ("n" * Limits().name_bytes, "bank"):
            key = RecordKey(namespace, "\U0001f600" * (Limits().key_bytes // 4))
            first = write(store, key, b"1")
            second = version(key, first, b"2")
            assert isinstance(store.apply(call(writes=(RecordWrite(key, second),))), Stored)
            found = store.fetch([key], versions=[Version(key, 1)])
            assert (found.records[key], found.versions[Version(key, 1)]) == (second, first)

    def test_the_current_version_and_those_before_it_come_back(self, store: RecordStore) -> None:
        """Every version stays readable; a deletion is one too."""
        first = version(ALICE, ABSENT, b"1")
        deleted = version(ALICE, first, None, 1)
        again = version(ALICE, deleted, b'{"a":1}', 2, 3)
        for record in (first, deleted, again):
            store.apply(call(writes=(RecordWrite(ALICE, record),)))
        found = store.fetch([ALICE, BOB], versions=[Version(ALICE, n) for n in (1, 2, 3, 4)])
        assert found.records == {ALICE: again, BOB: ABSENT}
        assert found.versions == {
            Version(ALICE, 1): first,
            Version(ALICE, 2): deleted,
            Version(ALICE, 3): again,
        }
        assert store.fetch(versions=[Version(ALICE, 2)]).versions == {Version(ALICE, 2): deleted}

    def test_one_call_writes_several_versions_of_a_record(self, store: RecordStore) -> None:
        """A hot record in one batch: each version is kept, the last is current."""
        start = write(store, ALICE, b"0")
        records = [start]
        for n in range(1, 500):
            records.append(version(ALICE, records[-1], b"%d" % n, 1, n))
        assert isinstance(store.apply(call(writes=tuple(RecordWrite(ALICE, r) for r in records[1:]))), Stored)
        found = store.fetch([ALICE], versions=[Version(ALICE, n) for n in range(1, 501)])
        assert found.records[ALICE] == records[-1]
        assert list(found.versions.values()) == records

    def test_names_never_collide(self, store: RecordStore) -> None:
        """Separators, digits, empty keys and any Unicode in names keep records apart."""
        keys = [
            RecordKey("a", "b:c"),
            RecordKey("a:b", "c"),
            RecordKey("a", ""),
            RecordKey("a", "b"),
            RecordKey("a", "b\0\0\0\0\0\0\0\1"),
            RecordKey("1", "1:a:b"),
            RecordKey("a", "b:c:1"),
            RecordKey("ä", "\U0001f600"),
            RecordKey("a", "\n\r\n{}*"),
        ]
        records = {key: version(key, ABSENT, b"%d" % n) for n, key in enumerate(keys)}
        store.apply(call(writes=tuple(RecordWrite(key, record) for key, record in records.items())))
        assert store.fetch(keys).records == records

    @pytest.mark.parametrize("wrong", ["version", "hash", "absent", "present"])
    def test_a_stale_read_refuses(self, store: RecordStore, wrong: str) -> None:
        """Version and hash are both compared, and absence too; the refusal names each stale record."""
        current = write(store, ALICE, b"1", b"2")
        stale = {
            "version": ReadCheck(ALICE, 1, current.record_hash),
            "hash": ReadCheck(ALICE, 2, b"h" * 32),
            "absent": ReadCheck(ALICE, 0, ZERO_HASH),
            "present": ReadCheck(BOB, 1, current.record_hash),
        }[wrong]
        fine = read(BOB, ABSENT) if stale.key == ALICE else read(ALICE, current)
        refused = store.apply(call(reads=(fine, stale), cells={"x": b"1"}))
        assert refused == Refusal(reason="read", cells={}, stale=(stale.key,))
        assert store.fetch(cells=["x"]).cells == {}

    def test_reads_that_hold_pass(self, store: RecordStore) -> None:
        """The check can also succeed: present, deleted and absent records alike."""
        deleted = write(store, ALICE, b"1", None)
        assert isinstance(store.apply(call(reads=(read(ALICE, deleted), read(BOB, ABSENT)))), Stored)

    def test_a_write_is_a_check_by_itself(self, store: RecordStore) -> None:
        """No version is ever overwritten, skipped or chained to another, even if nobody said it was read."""
        current = write(store, ALICE, b"1", b"2")
        other = version(ALICE, version(ALICE, ABSENT, b"other"), b"2")
        for bad in (
            version(ALICE, ABSENT, b"again"),
            version(ALICE, other, b"3"),
            version(ALICE, version(ALICE, current, b"3"), b"4"),
        ):
            refused = store.apply(call(writes=(RecordWrite(ALICE, bad),)))
            assert refused == Refusal(reason="read", cells={}, stale=(ALICE,))
        assert store.fetch([ALICE]).records[ALICE] == current

    def test_more_than_one_command_can_carry(self, store: RecordStore) -> None:
        """Limits on a script's arguments do not show: 8,000 records, 8,000 requests in one minute."""
        keys = [RecordKey("bank", f"{n:05d}") for n in range(8_000)]
        ids = [b"%032d" % n for n in range(8_000)]
        writes = tuple(RecordWrite(key, version(key, ABSENT, b"%d" % n)) for n, key in enumerate(keys))
        done = store.apply(
            call(
                reads=tuple(read(key, ABSENT) for key in keys),
                unseen=tuple(RequestExpiry(i, 0) for i in ids),
                writes=writes,
                replay=tuple(ReplayEntry(i, 0, n) for n, i in enumerate(ids)),
            )
        )
        assert done == Stored(replay_entries=8_000)
        assert store.fetch(keys).records == {write.key: write.record for write in writes}
        refused = store.apply(call(unseen=tuple(RequestExpiry(i, 0) for i in ids)))
        assert isinstance(refused, Refusal)
        assert len(refused.replayed) == 8_000
        refused = store.apply(call(reads=tuple(read(key, ABSENT) for key in keys)))
        assert isinstance(refused, Refusal)
        assert set(refused.stale) == set(keys)

    def test_stores_can_be_compared_record_by_record(self, store: RecordStore) -> None:
        """All current records of one namespace, deleted ones too, in the order of their keys."""
        keys = [RecordKey("bank", f"{n * 7919 % 2_500:04d}") for n in range(2_500)]
        records = {key.key: version(key, ABSENT, b"1") for key in keys}
        store.apply(call(writes=tuple(RecordWrite(key, records[key.key]) for key in keys)))
        write(store, RecordKey("other", "x"), b"1")
        records["0007"] = write(store, RecordKey("bank", "0007"), None)
        assert list(store.records("bank")) == sorted(records.items())
        assert store.count("bank") == 2_500
        assert list(store.records("nobody")) == []
        assert store.count("nobody") == 0


class TestScans:
    @pytest.fixture(autouse=True)
    def _filled(self, store: RecordStore) -> None:
        for key in "abcde":
            write(store, RecordKey("bank", key), key.encode())
        write(store, RecordKey("bank", "c"), None)
        write(store, RecordKey("bank2", "bb"), b"1")

    @pytest.mark.parametrize(
        ("start", "end", "limit", "keys", "covered_to", "exhausted"),
        [
            ("", "", 10, "abcde", "", True),
            ("b", "d", 10, "bc", "d", True),
            ("b", "", 2, "bc", "c", False),
            ("", "", 5, "abcde", "e", False),
            ("", "", 6, "abcde", "", True),
            ("bb", "cc", 1, "c", "c", False),
            ("x", "z", 3, "", "z", True),
            ("d", "b", 3, "", "b", True),
        ],
    )
    def test_rows_and_range(
        self,
        store: RecordStore,
        start: str,
        end: str,
        limit: int,
        keys: str,
        covered_to: str,
        exhausted: bool,
    ) -> None:
        """The first keys of a half-open range, deleted ones too, and how far that reaches."""
        found = store.fetch(scans=[ScanRange("bank", start, end, limit)]).scans[0]
        assert [key for key, _ in found.rows] == list(keys)
        assert (found.covered_to, found.exhausted) == (covered_to, exhausted)
        current = store.fetch([RecordKey("bank", key) for key in keys]).records
        assert [record for _, record in found.rows] == list(current.values())
        assert isinstance(store.apply(call(scans=(found.check(),))), Stored)

    def test_keys_are_in_the_order_of_code_points(self, store: RecordStore) -> None:
        """U+FFFD comes before U+1F600, as in UTF-8, and not after it, as in UTF-16."""
        keys = ["~", "é", "\ufffd", "\U0001f600"]
        for key in reversed(keys):
            write(store, RecordKey("text", key), b"1")
        found = store.fetch(scans=[ScanRange("text", "", "", 9), ScanRange("text", "\ufffd", "", 9)]).scans
        assert [key for key, _ in found[0].rows] == keys
        assert [key for key, _ in found[1].rows] == keys[2:]

    @pytest.mark.parametrize(("key", "value"), [("bb", b"1"), ("b", b"2"), ("b", None), ("c", b"1"), ("a", b"x")])
    def test_a_change_in_a_scanned_range_refuses(self, store: RecordStore, key: str, value: bytes | None) -> None:
        """No phantoms: insert, update, delete and creation anew each show."""
        seen = scan(store, "a", "d")
        write(store, RecordKey("bank", key), value)
        assert store.apply(call(scans=(seen,))) == Refusal(reason="scan", cells={}, stale=(RecordKey("bank", "a"),))

    @pytest.mark.parametrize("limit", [2, 9])
    def test_a_change_outside_of_it_does_not(self, store: RecordStore, limit: int) -> None:
        """Neither behind the last row of a scan that its limit ended, nor at the range's open end."""
        seen = scan(store, "a", "c", limit)
        for key in ("bb", "c", "0") if limit == 2 else ("c", "0"):
            write(store, RecordKey("bank", key), b"1")
        assert isinstance(store.apply(call(scans=(seen,))), Stored)

    def test_an_insert_at_the_end_of_a_limited_scan_shows_only_inside(self, store: RecordStore) -> None:
        """A limited scan covers its last row, and nothing after it."""
        seen = scan(store, "a", "", 2)
        write(store, RecordKey("bank", "b\0"), b"1")
        assert isinstance(store.apply(call(scans=(seen,))), Stored)
        write(store, RecordKey("bank", "ab"), b"1")
        assert isinstance(store.apply(call(scans=(seen,))), Refusal)

    def test_a_call_may_write_into_what_it_scanned(self, store: RecordStore) -> None:
        """Checks come before changes, so a batch's own inserts are no phantoms to it."""
        seen = scan(store, "", "")
        key = RecordKey("bank", "bb")
        assert isinstance(
            store.apply(call(scans=(seen,), writes=(RecordWrite(key, version(key, ABSENT, b"1")),))), Stored
        )
