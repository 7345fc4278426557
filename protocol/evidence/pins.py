"""Pins: what fixes the hash of a record version that somebody read (PROTOCOL 4).

A pin is a leaf that wrote the version in an earlier statement that both parties signed, an earlier leaf of
the same batch that is byte-equal under both parties' roots, or the genesis.
"""

from protocol.evidence.case import Case
from protocol.evidence.exhibits import ShownOutcome
from protocol.evidence.verdicts import NothingProvenError
from protocol.records import Record, RecordKey, record_hash
from schemas.exhibit import ShownRecord


def hash_of_write(leaf: ShownOutcome, key: RecordKey, version: int) -> bytes:
    """The hash that a leaf says a version it wrote has.

    Raises:
        NothingProvenError: it wrote no such version.
    """
    hashes = [w.record_hash for w in leaf.outcome.writes if (w.namespace, w.key, w.version) == (*key, version)]
    if len(hashes) != 1:
        written = f"version {version} of {key.namespace}/{key.key}"
        raise NothingProvenError(f"leaf {leaf.index} of sequence {leaf.sequence} did not write {written}")
    return hashes[0]


def show_record(case: Case, data: bytes) -> tuple[RecordKey, Record]:
    """Open a `ShownRecord`: its hash is computed here, its writer is not known yet."""
    shown = ShownRecord.from_bytes(data)
    key = RecordKey(shown.namespace, shown.key)
    if not 0 < shown.version < 2**63 or shown.deleted != (not shown.value):
        raise NothingProvenError("a record shown is none")
    hashed = record_hash(
        case.ledger_id, key, shown.version, shown.deleted, shown.value, shown.request_id, shown.previous_hash
    )
    record = Record(
        version=shown.version,
        deleted=shown.deleted,
        value=shown.value,
        request_id=shown.request_id,
        previous_hash=shown.previous_hash,
        record_hash=hashed,
        writer_sequence=-1,
        writer_index=-1,
    )
    return key, record
