"""Records: a value under `(namespace, key)`, its versions, and the hash chain through them.

Rules:

1. `record_hash = H("record", ledger_id, namespace, key, version, deleted, value, request_id, previous
   record_hash)`, names in UTF-8, the version as u64 big-endian, `deleted` as one byte (PROTOCOL 2).
2. Versions are 1, 2, 3 ...; version 0 is `ABSENT`. A deletion is a version too, with an empty value.
3. A packed record starts with its *head*, version u64 big-endian || record_hash: a store checks a version
   by comparing the first 40 bytes.
4. `unpack` accepts exactly the bytes that `pack` gives.
"""

import struct
from typing import Final, NamedTuple

from protocol.errors import CountersignError
from protocol.hashing import HASH_SIZE, ZERO_HASH, Tag, digest
from protocol.native import NATIVE

HEAD_BYTES: Final = 8 + HASH_SIZE
"""Length of a packed record's head."""

VERSION_MAX: Final = 2**63 - 1
"""The greatest version: Avro's integers are signed."""

# version, record_hash, deleted, writer_sequence, writer_index, request_id, previous_hash, length of the value
_LAYOUT: Final = struct.Struct(">Q32sBqi32s32sI")
_HEAD: Final = struct.Struct(">Q32s")

# Of what is hashed: tag and count with the length of the ledger_id; version, deleted and the length of the
# value, each after its own length; two hashes, each after its length.
_FRAMED_HEAD: Final = b"CSv1" + bytes((len(Tag.RECORD),)) + Tag.RECORD.encode() + struct.pack(">IQ", 8, HASH_SIZE)
_framed_version: Final = struct.Struct(">QQQ?Q").pack
_framed_hashes: Final = struct.Struct(">Q32sQ32s").pack
_length: Final = struct.Struct(">Q").pack
_native: Final = None if NATIVE is None else NATIVE.record_hash


class DamagedRecordError(CountersignError):
    """A party's own record is not what it stored."""

    def __init__(self, detail: str) -> None:
        super().__init__("store.damaged", detail)


class RecordKey(NamedTuple):
    """Where a record lives."""

    namespace: str
    key: str


class Record(NamedTuple):
    """One version of a record.

    A tuple and no dataclass, because thousands are made a second, at a third of the cost.

    Attributes:
        version: 1, 2, 3 ...; 0 only in `ABSENT`.
        value: canonical JSON, empty when deleted.
        request_id: of the request that wrote it.
        previous_hash: record_hash of the version before, zero for version 1.
        writer_sequence: sequence of the batch that wrote it, -1 for the genesis.
        writer_index: index in that batch among the requests that were not rejected.
    """

    version: int
    deleted: bool
    value: bytes
    request_id: bytes
    previous_hash: bytes
    record_hash: bytes
    writer_sequence: int
    writer_index: int

    @property
    def exists(self) -> bool:
        """Whether there is a value: neither absent nor deleted."""
        return self.version > 0 and not self.deleted


ABSENT: Final = Record(
    version=0,
    deleted=True,
    value=b"",
    request_id=ZERO_HASH,
    previous_hash=ZERO_HASH,
    record_hash=ZERO_HASH,
    writer_sequence=-1,
    writer_index=-1,
)
"""Version 0 of every record."""


def record_hash(
    ledger_id: bytes,
    key: RecordKey,
    version: int,
    deleted: bool,
    value: bytes,
    request_id: bytes,
    previous_hash: bytes,
) -> bytes:
    """The hash of one version of a record, which fixes all versions before it.

    Args:
        ledger_id, request_id, previous_hash: 32 bytes each.
    """
    if _native is not None:
        return _native(ledger_id, key[0], key[1], version, deleted, value, request_id, previous_hash)
    return record_hash_of_names(
        ledger_id, key[0].encode(), key[1].encode(), version, deleted, value, request_id, previous_hash
    )


def record_hash_of_names(
    ledger_id: bytes,
    namespace: bytes,
    name: bytes,
    version: int,
    deleted: bool,
    value: bytes,
    request_id: bytes,
    previous_hash: bytes,
) -> bytes:
    """As `record_hash`, for who has the record's key in UTF-8."""
    # `tagged` written out, at half its cost: four hashes a transfer, in each party.
    return digest(
        b"".join(
            (
                _FRAMED_HEAD,
                ledger_id,
                _length(len(namespace)),
                namespace,
                _length(len(name)),
                name,
                _framed_version(8, version, 1, deleted, len(value)),
                value,
                _framed_hashes(HASH_SIZE, request_id, HASH_SIZE, previous_hash),
            )
        )
    )


def successor(
    ledger_id: bytes,
    key: RecordKey,
    previous: Record,
    value: bytes | None,
    *,
    request_id: bytes,
    writer_sequence: int,
    writer_index: int,
) -> Record:
    """The version after `previous`, with its hash; a `value` of None deletes."""
    version = previous.version + 1
    deleted = value is None
    content = b"" if value is None else value
    before = previous.record_hash
    pinned = record_hash(ledger_id, key, version, deleted, content, request_id, before)
    # By place: fields by name would cost a quarter more here, and each party makes two of these a transfer.
    return Record(version, deleted, content, request_id, before, pinned, writer_sequence, writer_index)


def verify_record(ledger_id: bytes, key: RecordKey, record: Record) -> None:
    """Check that a record's hash is that of its content.

    Raises:
        DamagedRecordError: it is not.
    """
    if record.version == 0:
        if record != ABSENT:
            raise DamagedRecordError(f"{key}: version 0 with content")
        return
    found = record_hash(
        ledger_id,
        key,
        record.version,
        record.deleted,
        record.value,
        record.request_id,
        record.previous_hash,
    )
    if found != record.record_hash:
        raise DamagedRecordError(f"{key}: version {record.version} does not have its hash")


def head(record: Record) -> bytes:
    """Version u64 big-endian || record_hash: what a packed record starts with; zeros for `ABSENT`."""
    return _HEAD.pack(record.version, record.record_hash)


def pack(record: Record) -> bytes:
    """A record as a store keeps it: head, deleted, writer, request_id, previous_hash, length and value.

    Requires a version of 1 or more: what is absent is not stored.
    """
    version, deleted, value, request_id, previous_hash, own_hash, sequence, index = record
    assert 0 < version <= VERSION_MAX, "an absent record is not stored"
    assert deleted == (not value), "a deletion has no value, a value is never empty"
    layout = _LAYOUT.pack(version, own_hash, deleted, sequence, index, request_id, previous_hash, len(value))
    return layout + value


def unpack(data: bytes) -> Record:
    """Read what `pack` made.

    Raises:
        DamagedRecordError: the bytes are anything else.
    """
    if len(data) < _LAYOUT.size:
        raise DamagedRecordError(f"a packed record of {len(data)} bytes")
    version, own_hash, deleted, sequence, index, request_id, previous_hash, length = _LAYOUT.unpack_from(data)
    value = data[_LAYOUT.size :]
    if len(value) != length:
        raise DamagedRecordError(f"a value of {len(value)} bytes instead of {length}")
    if not 0 < version <= VERSION_MAX or deleted != (length == 0) or sequence < -1 or index < -1:
        raise DamagedRecordError(f"a packed record of version {version} that was never packed")
    return Record(version, deleted == 1, value, request_id, previous_hash, own_hash, sequence, index)
