"""What each call of a batch finds: the records before it, what was written since, and nothing that is damaged."""

from collections.abc import Sequence

import pytest

from protocol.contracts.calls import Read
from protocol.contracts.overlay import Overlay, check_chain
from protocol.hashing import ZERO_HASH, tagged
from protocol.records import ABSENT, DamagedRecordError, Record, RecordKey, successor

LEDGER_ID = tagged("genesis", b"overlay")
SPACE = "space"


def key(name: str) -> RecordKey:
    """A record's place."""
    return RecordKey(SPACE, name)


def chain(name: str, count: int, before: Record = ABSENT, sequence: int = 0) -> list[Record]:
    """So many versions of a record, one on top of the other."""
    made = []
    for _ in range(count):
        value = b"%d" % (before.version + 1)
        written = {"request_id": ZERO_HASH, "writer_sequence": sequence, "writer_index": 0}
        before = successor(LEDGER_ID, key(name), before, value, **written)  # type: ignore[arg-type]
        made.append(before)
    return made


class Store:
    """A `Fetch` over versions in memory, which notes what it was asked for."""

    def __init__(self, **versions: list[Record]) -> None:
        self.history = {key(name): found for name, found in versions.items()}
        self.asked: list[tuple[object, ...]] = []

    def record(self, key: RecordKey) -> Record:
        self.asked.append(("record", key))
        return self.history[key][-1] if key in self.history else ABSENT

    def scan(self, namespace: str, start: str, end: str, limit: int) -> Sequence[tuple[str, Record]]:
        self.asked.append(("scan", start, end, limit))
        names = sorted(k.key for k in self.history if k.namespace == namespace and start <= k.key < (end or "\uffff"))
        return [(name, self.history[key(name)][-1]) for name in names[:limit]]

    def versions(self, key: RecordKey, newest: int, count: int) -> Sequence[Record]:
        self.asked.append(("versions", newest, count))
        return self.history[key][max(0, newest - count) : newest][::-1]


def overlay(store: Store, **given: Record) -> Overlay:
    """An overlay over a store, with these records at hand."""
    return Overlay(LEDGER_ID, store, {key(name): record for name, record in given.items()})


DAMAGED = chain("a", 1)[0]._replace(value=b"9")


# --- Records ---


def test_a_record_is_looked_for_once() -> None:
    """Among what is at hand, then in the store; an absent one as well."""
    (a,), (b,) = chain("a", 1), chain("b", 1)
    store = Store(b=[b])
    seen = overlay(store, a=a, c=ABSENT)
    for _ in range(2):
        assert [seen.record(key(name)) for name in "abcd"] == [a, b, ABSENT, ABSENT]
    assert store.asked == [("record", key("b")), ("record", key("d"))]


def test_the_written_version_is_the_current_one() -> None:
    """For records, for what is said to have been read, and for the next write on top of it."""
    old, new, newer = chain("a", 3)
    store = Store(a=[old])
    seen = overlay(store)
    assert seen.record(key("a")) == old
    assert seen.reads([key("a")]) == (Read(SPACE, "a", 1, 0, 0, old.record_hash),)
    for record in (new, newer._replace(writer_sequence=4, writer_index=2)):
        seen.write(key("a"), record)
        place = record.writer_sequence, record.writer_index
        assert seen.record(key("a")) == record
        assert seen.reads([key("a")]) == (Read(SPACE, "a", record.version, *place, record.record_hash),)


@pytest.mark.parametrize("damaged", [DAMAGED, DAMAGED._replace(version=0), ABSENT._replace(value=b"1")], ids=str)
@pytest.mark.parametrize("how", ["at hand", "fetched", "scanned"])
def test_damage_is_found_at_the_first_look(damaged: Record, how: str) -> None:
    """However it comes; what says that it is absent and has content as well."""
    seen = overlay(Store(), a=damaged) if how == "at hand" else overlay(Store(a=[damaged]))
    with pytest.raises(DamagedRecordError):
        seen.scan(SPACE, "", "", 9) if how == "scanned" else seen.record(key("a"))


# --- Ranges ---


def test_a_range_holds_what_was_written_into_it() -> None:
    """From its start on, its end not among it; in order, at most as many as asked for."""
    stored = {name: chain(name, 1) for name in ("b", "d", "f")}
    seen = overlay(Store(**stored))
    written = {name: chain(name, 1)[0] for name in ("a", "c", "e", "g")}
    for name, record in written.items():
        seen.write(key(name), record)
    seen.write(RecordKey("other", "c"), chain("c", 1)[0])
    everything = {name: versions[0] for name, versions in stored.items()} | written

    def found(start: str, end: str, limit: int) -> str:
        rows = seen.scan(SPACE, start, end, limit)
        assert all(everything[name] == record for name, record in rows)
        return "".join(name for name, _ in rows)

    assert found("", "", 9) == "abcdefg"
    assert found("c", "e", 9) == "cd"
    assert found("c", "", 9) == "cdefg"
    assert found("b", "c", 9) == "b"
    assert found("", "", 3) == "abc"
    assert found("d", "g", 2) == "de"


def test_a_range_shows_the_written_version() -> None:
    """And not the one in the store; a deletion is a row too."""
    old, new = chain("a", 2)
    deleted = successor(LEDGER_ID, key("a"), new, None, request_id=ZERO_HASH, writer_sequence=1, writer_index=0)
    seen = overlay(Store(a=[old]))
    assert seen.scan(SPACE, "", "", 1) == [("a", old)]
    for record in (new, deleted):
        seen.write(key("a"), record)
        assert seen.scan(SPACE, "", "", 1) == [("a", record)]


def test_a_range_does_not_look_again_at_what_it_knows() -> None:
    """A version that was seen stays the current one for the whole batch, whatever a store says later."""
    old, new = chain("a", 2)
    store = Store(a=[old])
    seen = overlay(store)
    assert seen.record(key("a")) == old
    store.history[key("a")].append(new)
    assert seen.scan(SPACE, "", "", 9) == [("a", old)]


# --- Versions ---


def test_versions_written_and_stored() -> None:
    """From new to old, across the border between the two; the store is asked for what is missing and no more."""
    versions = chain("a", 6)
    store = Store(a=versions[:4])
    seen = overlay(store)
    for record in versions[4:]:
        seen.write(key("a"), record)

    def found(newest: int, count: int) -> list[int]:
        store.asked.clear()
        return [record.version for record in seen.versions(key("a"), newest, count)]

    assert (found(6, 1), store.asked) == ([6], [])
    assert (found(6, 2), store.asked) == ([6, 5], [])
    assert (found(6, 4), store.asked) == ([6, 5, 4, 3], [("versions", 4, 2)])
    assert (found(5, 2), store.asked) == ([5, 4], [("versions", 4, 1)])
    assert (found(3, 2), store.asked) == ([3, 2], [("versions", 3, 2)])
    assert (found(6, 99), store.asked) == ([6, 5, 4, 3, 2, 1], [("versions", 4, 4)])
    assert (found(0, 5), store.asked) == ([], [])


def test_versions_of_a_record_that_began_in_this_batch() -> None:
    """Below its first version there is nothing to ask for."""
    store = Store()
    seen = overlay(store)
    for record in chain("a", 2):
        seen.write(key("a"), record)
    assert [record.version for record in seen.versions(key("a"), 2, 5)] == [2, 1]
    assert store.asked == []


def test_a_damaged_older_version() -> None:
    """Each version has its hash, or none of them is handed out."""
    first, second, third = chain("a", 3)
    seen = overlay(Store(a=[first._replace(value=b"0"), second, third]))
    assert len(seen.versions(key("a"), 3, 2)) == 2
    with pytest.raises(DamagedRecordError):
        seen.versions(key("a"), 3, 3)


def test_a_chain() -> None:
    """As many versions as asked for, each the successor of the next one: by number and by hash."""
    one, two, three = chain("a", 3)
    check_chain(key("a"), [three, two, one], 3)
    check_chain(key("a"), [two], 1)
    check_chain(key("a"), [], 0)
    renumbered = two._replace(version=3)
    for versions, count in (
        ([three, two], 3),
        ([three, two, one], 2),
        ([three, one], 2),
        ([one, two], 2),
        ([renumbered, one], 2),
        ([three, two._replace(record_hash=ZERO_HASH)], 2),
        ([three._replace(previous_hash=ZERO_HASH), two], 2),
    ):
        with pytest.raises(DamagedRecordError):
            check_chain(key("a"), versions, count)
