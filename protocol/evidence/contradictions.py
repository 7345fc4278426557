"""Order contradictions: entries of orders that the Auditor signed, against one another and the genesis.

Rules:

1. The place of an entry is (sequence, index); every entry reads what all entries at smaller places have left.
2. Everything here is the Auditor's own word, so one signed entry is enough to contradict another: no
   statement, value or hash is needed.
3. Void orders contradict nothing here: `exhibits` opens none.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from protocol.contracts.genesis import genesis_versions
from protocol.evidence.case import Case
from protocol.evidence.exhibits import ShownEntry, show_entry, show_order
from protocol.evidence.verdicts import AUDITOR, NothingProvenError, Proven
from protocol.hashing import ZERO_HASH
from protocol.records import Record, RecordKey
from protocol.signatures import request_id
from schemas.epoch import Genesis
from schemas.order import Entry, ScanVersions
from schemas.request import Envelope

NOWHERE = (-1, -1)
"""The writer that an absent record has."""


class VersionRead(NamedTuple):
    """A record version that an entry relies on, read or scanned."""

    key: RecordKey
    version: int
    writer: tuple[int, int]


def versions_read(entry: Entry) -> Iterator[VersionRead]:
    """All versions an entry relies on, rows of scans among them."""
    for read in entry.reads:
        key = RecordKey(read.namespace, read.key)
        yield VersionRead(key, read.version, (read.writer_sequence, read.writer_index))
    for scan in entry.scans:
        for row in scan.rows:
            key = RecordKey(scan.namespace, row.key)
            yield VersionRead(key, row.version, (row.writer_sequence, row.writer_index))


def name_of(key: RecordKey) -> str:
    """A record's name, for explanations: whoever reads them on a terminal must not be at the mercy of a key."""
    name = f"{key.namespace}/{key.key}"
    return name if name.isprintable() else ascii(name)


def covers(scan: ScanVersions, key: RecordKey) -> bool:
    """Whether a scan would have seen a record if it had been there."""
    if key.namespace != scan.namespace or key.key < scan.start or (scan.end and key.key >= scan.end):
        return False
    return scan.exhausted or key.key <= scan.covered_to


def genesis_of(genesis: Genesis, ledger_id: bytes) -> dict[RecordKey, Record]:
    """The records that a ledger began with."""
    pairs = ((RecordKey(record.namespace, record.key), record.value) for record in genesis.records)
    return dict(genesis_versions(ledger_id, pairs))


def judge_stale_read(case: Case) -> Proven:
    """A read or scan of less than what an entry at a smaller place, or the genesis, has written."""
    shown = show_entry(case, case.part("entry"))
    if case.has("earlier"):
        earlier = show_entry(case, case.part("earlier"))
        _require_earlier(earlier, shown)
        written = ((RecordKey(w.namespace, w.key), w.version) for w in earlier.entry.writes)
        by = f"entry {earlier.index} of sequence {earlier.place[0]}"
    else:
        written = ((key, 1) for key in genesis_of(case.epochs.genesis, case.ledger_id))
        by = "the genesis"
    stale = _find_stale(shown.entry, written)
    if stale is None:
        raise NothingProvenError("every version read is as new as what was written")
    key, version = stale
    return Proven(AUDITOR, f"{_named(shown)} does not see version {version} of {name_of(key)}, written by {by}")


def _find_stale(entry: Entry, written: Iterable[tuple[RecordKey, int]]) -> tuple[RecordKey, int] | None:
    """The first version written that an entry should have seen and did not."""
    reads = [(read.key, read.version) for read in versions_read(entry)]
    for key, version in written:
        if any(read == key and seen < version for read, seen in reads):
            return key, version
        for scan in entry.scans:
            if covers(scan, key) and all(row.key != key.key for row in scan.rows):
                return key, version
    return None


def judge_second_writer(case: Case) -> Proven:
    """A version written although an entry at a smaller place, or the genesis, wrote it or a newer one."""
    shown = show_entry(case, case.part("entry"))
    writes = {RecordKey(w.namespace, w.key): w.version for w in shown.entry.writes}
    if case.has("earlier"):
        earlier = show_entry(case, case.part("earlier"))
        _require_earlier(earlier, shown)
        written = {RecordKey(w.namespace, w.key): w.version for w in earlier.entry.writes}
    else:
        written = dict.fromkeys(genesis_of(case.epochs.genesis, case.ledger_id), 1)
    for key, version in writes.items():
        if version <= written.get(key, version - 1):
            return Proven(AUDITOR, f"{_named(shown)} writes version {version} of {name_of(key)}, which was there")
    raise NothingProvenError("no version has two writers")


def judge_false_writer(case: Case) -> Proven:
    """A read that names as its writer an entry that wrote no such version, or a place where none can be."""
    shown = show_entry(case, case.part("entry"))
    if case.has("writer"):
        writer = show_entry(case, case.part("writer"))
        wrote = {(RecordKey(w.namespace, w.key), w.version) for w in writer.entry.writes}
        for read in versions_read(shown.entry):
            if read.writer == writer.place and (read.key, read.version) not in wrote:
                return _false_writer(shown, read)
    elif case.has("writer order"):
        header = show_order(case, case.part("writer order")).header
        for read in versions_read(shown.entry):
            if read.writer[0] == header.sequence and not 0 <= read.writer[1] < header.count:
                return _false_writer(shown, read)
    else:
        genesis = genesis_of(case.epochs.genesis, case.ledger_id)
        for read in versions_read(shown.entry):
            if _is_impossible(read, shown.place, genesis):
                return _false_writer(shown, read)
    raise NothingProvenError("every writer named may have written what was read")


def _is_impossible(read: VersionRead, place: tuple[int, int], genesis: dict[RecordKey, Record]) -> bool:
    """Whether a read contradicts the genesis, or the place of its own entry, whatever other entries wrote."""
    if read.version < 1:
        return read.version < 0 or read.writer != NOWHERE
    if read.writer[0] < 0:
        return read.writer[0] < -1 or read.version != 1 or read.key not in genesis
    return read.writer >= place


def _false_writer(shown: ShownEntry, read: VersionRead) -> Proven:
    text = f"{_named(shown)} reads version {read.version} of {name_of(read.key)} from {read.writer}"
    return Proven(AUDITOR, f"{text}, which did not write it")


def judge_repeated(case: Case) -> Proven:
    """One request at two places."""
    first, second = (show_entry(case, data) for data in case.parts("entry"))
    if first.place == second.place:
        raise NothingProvenError("both parts are of the same place")
    identities = [request_id(Envelope.from_bytes(shown.entry.envelope).body) for shown in (first, second)]
    if identities[0] != identities[1]:
        raise NothingProvenError("the two requests differ")
    return Proven(AUDITOR, f"it ordered request {identities[0].hex()} at {first.place} and at {second.place}")


def judge_predecessor(case: Case) -> Proven:
    """An order that does not name the order before it."""
    order = show_order(case, case.part("order"))
    sequence = order.header.sequence
    expected = ZERO_HASH
    if case.has("previous"):
        previous = show_order(case, case.part("previous"))
        if previous.header.sequence != sequence - 1:
            raise NothingProvenError("the orders are not neighbours")
        expected = previous.order_hash
    elif sequence != 0:
        raise NothingProvenError("the order before it is missing")
    if order.header.previous_order_hash == expected:
        raise NothingProvenError("the order names the one before it")
    return Proven(AUDITOR, f"order {sequence} does not name the order before it")


def judge_falling_time(case: Case) -> Proven:
    """An order whose time is before that of the order before it."""
    order = show_order(case, case.part("order")).header
    previous = show_order(case, case.part("previous")).header
    if previous.sequence >= order.sequence:
        raise NothingProvenError("the orders do not follow each other")
    if order.ordered_at_ms >= previous.ordered_at_ms:
        raise NothingProvenError("time does not fall")
    return Proven(AUDITOR, f"ordered_at falls from sequence {previous.sequence} to {order.sequence}")


def _require_earlier(earlier: ShownEntry, shown: ShownEntry) -> None:
    if earlier.place >= shown.place:
        raise NothingProvenError("the writer does not stand before the reader")


def _named(shown: ShownEntry) -> str:
    return f"entry {shown.index} of order {shown.place[0]}"
