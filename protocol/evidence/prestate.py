"""The records that an entry read, as a third party can know them: each with its content, fixed by a pin.

Rules:

1. Every version that the entry read or scanned is there, has the hash of its pin, and names the pin's place
   as its writer.
2. An older version (for `history`) chains to the one after it, and the newest chains to the pin.
3. What is shown and not needed makes the file prove nothing.
4. Beyond what the entry names nothing exists: so the contract, executed again, either asks for what the entry
   names, or the entry is wrong. Only an older version that is not shown is missing from the file and not from
   the entry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protocol.evidence.case import Case
from protocol.evidence.contradictions import VersionRead, genesis_of, name_of, versions_read
from protocol.evidence.exhibits import ShownOutcome
from protocol.evidence.pins import hash_of_write, show_record
from protocol.evidence.verdicts import NothingProvenError
from protocol.records import ABSENT, Record, RecordKey
from schemas.order import Entry


@dataclass(frozen=True, slots=True)
class Prestate:
    """A `Fetch` over the records of a file.

    Attributes:
        current: by key, as they were before the entry's batch or what an earlier entry of it left.
        older: versions before the current one, from new to old, as far as they are shown.
    """

    current: Mapping[RecordKey, Record]
    older: Mapping[RecordKey, Sequence[Record]]

    def record(self, key: RecordKey) -> Record:
        """The record of a key, `ABSENT` if the entry names none."""
        return self.current.get(key, ABSENT)

    def scan(self, namespace: str, start: str, end: str, limit: int) -> Sequence[tuple[str, Record]]:
        """The first records of a range among those the entry names."""
        names = sorted(
            key.key
            for key in self.current
            if key.namespace == namespace and start <= key.key and (not end or key.key < end)
        )
        return [(name, self.current[RecordKey(namespace, name)]) for name in names[:limit]]

    def versions(self, key: RecordKey, newest: int, count: int) -> Sequence[Record]:
        """Older versions of a record that are shown; too few make the execution find the record damaged."""
        return [record for record in self.older.get(key, ()) if record.version <= newest][:count]


def show_prestate(
    case: Case, entry: Entry, sequence: int, pins: Sequence[ShownOutcome], own_pins: Sequence[ShownOutcome]
) -> Prestate:
    """Put the pre-state of an entry at `sequence` together, from the parts "record" and its pins.

    `pins` are leaves of earlier statements that both parties signed, `own_pins` earlier leaves of the same
    batch that both parties signed alike.
    """
    shown = _shown_records(case)
    writers = _writers(sequence, pins, own_pins)
    genesis = genesis_of(case.epochs.genesis, case.ledger_id)
    used: set[tuple[int, int]] = set()
    current: dict[RecordKey, Record] = {}
    for read in versions_read(entry):
        if read.version == 0 or _is_known(read, current):
            continue
        if read.writer[0] < 0:
            record = genesis.get(read.key)
            if record is None or record.version != read.version:
                raise NothingProvenError(f"{name_of(read.key)} is not in the genesis")
        else:
            record = _pinned(read, writers, shown)
            used.add(read.writer)
        current[read.key] = record
    older = {key: _older(key, record, shown) for key, record in current.items()}
    if used != writers.keys():
        raise NothingProvenError("a pin is not needed")
    if shown:
        raise NothingProvenError("a record shown is not needed")
    return Prestate(current, older)


def _is_known(read: VersionRead, current: Mapping[RecordKey, Record]) -> bool:
    """Whether this version was both read and scanned, and is there already."""
    record = current.get(read.key)
    if record is not None and record.version != read.version:
        raise NothingProvenError(f"the entry reads two versions of {name_of(read.key)}")
    return record is not None


def _shown_records(case: Case) -> dict[tuple[RecordKey, int], Record]:
    shown: dict[tuple[RecordKey, int], Record] = {}
    for data in case.parts("record"):
        key, record = show_record(case, data)
        if (key, record.version) in shown:
            raise NothingProvenError("a record is shown twice")
        shown[key, record.version] = record
    return shown


def _writers(
    sequence: int, pins: Sequence[ShownOutcome], own_pins: Sequence[ShownOutcome]
) -> dict[tuple[int, int], ShownOutcome]:
    """Pins by the places of their writers."""
    writers: dict[tuple[int, int], ShownOutcome] = {}
    for pin in (*pins, *own_pins):
        if (pin.sequence, pin.index) in writers:
            raise NothingProvenError("a pin stands twice in the file")
        writers[pin.sequence, pin.index] = pin
    if any(pin.sequence >= sequence for pin in pins):
        raise NothingProvenError("a pin is not earlier")
    return writers


def _pinned(
    read: VersionRead,
    writers: Mapping[tuple[int, int], ShownOutcome],
    shown: dict[tuple[RecordKey, int], Record],
) -> Record:
    """Take the record of a read out of those shown, fixed by the leaf that wrote it."""
    pin = writers.get(read.writer)
    record = shown.pop((read.key, read.version), None)
    if pin is None or record is None:
        raise NothingProvenError(f"version {read.version} of {name_of(read.key)} is not shown with its pin")
    if hash_of_write(pin, read.key, read.version) != record.record_hash:
        raise NothingProvenError(f"version {read.version} of {name_of(read.key)} is not shown as it was written")
    return record._replace(writer_sequence=pin.sequence, writer_index=pin.index)


def _older(key: RecordKey, newest: Record, shown: dict[tuple[RecordKey, int], Record]) -> tuple[Record, ...]:
    """Take the older versions of a record out of those shown, as far as they chain to the newest."""
    chain: list[Record] = []
    after = newest
    while (before := shown.get((key, after.version - 1))) is not None:
        if before.record_hash != after.previous_hash:
            raise NothingProvenError(f"version {before.version} of {name_of(key)} does not chain to the next")
        del shown[key, before.version]
        chain.append(before)
        after = before
    return tuple(chain)
