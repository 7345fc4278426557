"""Entries and outcomes encoded by hand: the two messages that are made once per request by each party.

`entry_leaf` and `outcome_leaf` give the very bytes of `Entry.to_bytes` and `Outcome.to_bytes`, which stay the
reference (a property test holds them together), in a fraction of the time: a read's bytes are made once and
serve both, and all requests of a batch.
"""

from collections.abc import Sequence
from typing import Final

from schemas.binary import encode_long, encode_text, read_bytes, read_long, read_text
from schemas.errors import MalformedMessageError
from schemas.outcome import Status

_BOOLEANS: Final = (b"\0", b"\1")
_STATUSES: Final = {"ok": encode_long(0), "failed": encode_long(1)}
_STATUS_AT: Final[tuple[Status, Status]] = ("ok", "failed")
_HASH: Final = 32


def _array(items: Sequence[bytes]) -> bytes:
    return encode_long(len(items)) + b"".join(items) + b"\0" if items else b"\0"


def record_name(namespace: str, key: str) -> bytes:
    """A record's place, with which its reads and writes begin."""
    return encode_text(namespace) + encode_text(key)


def read_version(name: bytes, version: int, writer_sequence: int, writer_index: int) -> bytes:
    """A read as an entry lists it; an outcome adds the record_hash. `name` as made by `record_name`."""
    return name + encode_long(version) + encode_long(writer_sequence) + encode_long(writer_index)


def write_version(name: bytes, version: int, deleted: bool) -> bytes:
    """A write as an entry lists it; an outcome adds the record_hash. `name` as made by `record_name`."""
    return name + encode_long(version) + _BOOLEANS[deleted]


def entry_leaf(index: int, envelope: bytes, reads: Sequence[bytes], writes: Sequence[bytes]) -> bytes:
    """The bytes of an `Entry` without scans; `reads` and `writes` as made by the functions above."""
    return b"".join((encode_long(index), encode_long(len(envelope)), envelope, _array(reads), b"\0", _array(writes)))


def outcome_leaf(
    index: int,
    request_id: bytes,
    caller: bytes,
    status: str,
    code: str,
    fail_text: str,
    output_hash: bytes,
    reads: Sequence[bytes],
    writes: Sequence[bytes],
) -> bytes:
    """The bytes of an `Outcome` without scans.

    Args:
        caller: entity, key_version, contract and contract_version as made by `caller_fields`.
        reads, writes: as in an entry, each with its record_hash behind it.
    """
    return b"".join(
        (
            encode_long(index),
            request_id,
            caller,
            _STATUSES[status],
            encode_text(code),
            encode_text(fail_text),
            output_hash,
            _array(reads),
            b"\0",
            _array(writes),
        )
    )


def caller_fields(entity: str, key_version: int, contract: str, contract_version: int) -> bytes:
    """Who called what, as an outcome lists it."""
    return encode_text(entity) + encode_long(key_version) + encode_text(contract) + encode_long(contract_version)


def outcome_begin(
    index: int, request_id: bytes, entity: str, key_version: int, contract: str, contract_version: int
) -> bytes:
    """The first fields of an `Outcome`: whose it is, and of which call."""
    return encode_long(index) + request_id + caller_fields(entity, key_version, contract, contract_version)


def outcome_end_of_head(outcome: bytes, at: int) -> tuple[Status, str, str, bytes]:
    """Status, code, fail_text and output_hash in an outcome's bytes, which stand behind `outcome_begin`.

    Raises:
        MalformedMessageError: they are not there.
    """
    try:
        place, at = read_long(outcome, at)
        code, at = read_text(outcome, at)
        fail_text, at = read_text(outcome, at)
    except (IndexError, UnicodeDecodeError) as error:
        raise MalformedMessageError(f"outcome: {error}") from error
    if place not in (0, 1) or at + _HASH > len(outcome):
        raise MalformedMessageError("outcome: another status than there is, or no hash")
    return _STATUS_AT[place], code, fail_text, outcome[at : at + _HASH]


def envelope_of(entry: bytes) -> bytes:
    """The envelope in an entry's bytes, without parsing the rest: for a reader that makes its own entry and compares.

    Raises:
        MalformedMessageError: there is no room for one.
    """
    try:
        _, at = read_long(entry, 0)
        return read_bytes(entry, at)[0]
    except IndexError as error:
        raise MalformedMessageError("entry: it ends too early") from error
