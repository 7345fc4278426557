"""Cuts single fields out of the bytes of outcomes and entries, and joins them to the change feed's messages.

A replica checks outputs and values against the hashes in every outcome, and a learner shows a few fields of it.
Decoding an outcome and its entry whole takes a hundred microseconds, walking over what is not wanted takes five.
So:

1. Only bytes that somebody has verified may come here: they are known to be in the one valid form, and are
   not encoded again to prove it. Other bytes raise `MalformedMessageError` or give other fields, no more.
2. Text stays UTF-8, as it stands in the bytes.
3. What is joined here equals what the schema's own codec gives, byte for byte.

Source: Apache Avro 1.12 specification, "Binary encoding".
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from schemas.errors import MalformedMessageError
from schemas.feed import Learned

_HASH: Final = 32
_NONCE: Final = 16
_BYTES: Final = tuple(bytes((value,)) for value in range(0x80))
_REGISTRY: Final = b"\x06sys"
_STATUS: Final[tuple[Literal["ok", "failed"], ...]] = ("ok", "failed")


WriteSlices = tuple[bytes, bytes, int, bool, bytes, bytes, bytes]
"""A record version an outcome wrote: namespace, key, version, deleted, record_hash, the record_hash of the
version before as the outcome's reads have it (empty if they have not), and all before the hash as encoded. A
plain tuple, because thousands are made a second."""


class OutcomeSlices(NamedTuple):
    """The fields of an outcome that views show, and the hash that pins its output.

    Attributes:
        learned: the fields of the change feed, as encoded.
    """

    request_id: bytes
    entity: bytes
    contract: bytes
    contract_version: int
    status: Literal["ok", "failed"]
    code: bytes
    fail_text: bytes
    output_hash: bytes
    writes: tuple[WriteSlices, ...]
    learned: bytes


class _Caller(NamedTuple):
    """What stands between the request_id and the output_hash of an outcome.

    Nearly all outcomes of a batch have the same here. Avro's encoding says by itself where it ends, so an outcome whose
    bytes go on with `encoded` has these very fields.

    Attributes:
        learned: those of the change feed, as encoded.
    """

    encoded: bytes
    entity: bytes
    contract: bytes
    contract_version: int
    status: Literal["ok", "failed"]
    code: bytes
    fail_text: bytes
    learned: bytes


class _Begin(NamedTuple):
    """The count of an outcome's `ReadPin`s and those of them at its beginning that are of the registry.

    A request reads its caller's key and its contract first, so nearly all outcomes of a batch begin alike here too.

    Attributes:
        hashes: of these pins, by namespace and key as encoded.
        rest: how many pins follow.
    """

    encoded: bytes
    hashes: dict[bytes, bytes]
    rest: int


def slice_outcomes(bodies: Sequence[bytes]) -> tuple[OutcomeSlices, ...]:
    """The fields of verified `Outcome`s that are checked and shown.

    Raises:
        MalformedMessageError: the bytes of one end early, or go on.
    """
    caller: _Caller | None = None
    begin: _Begin | None = None
    sliced = []
    for body in bodies:
        try:
            start = _skip_integer(body, 0)  # index
            at = start + _HASH
            if caller is None or not body.startswith(caller.encoded, at):
                caller = _caller(body, at)
            output_at = at + len(caller.encoded)
            end = output_at + _HASH
            if begin is None or not body.startswith(begin.encoded, end):
                begin = _begin(body, end)
            read_hashes, end = _read_hashes(body, end + len(begin.encoded), begin)
            end = end + 1 if body[end] == 0 else _skip_scans(body, end)
            writes, end = _writes(body, end, read_hashes)
        except IndexError as error:
            raise MalformedMessageError("outcome: the bytes end early") from error
        if end != len(body):
            raise MalformedMessageError("outcome: the bytes do not end where it ends")
        request_id = body[start:at]
        _, entity, contract, contract_version, status, code, fail_text, learned = caller
        sliced.append(
            OutcomeSlices(
                request_id,
                entity,
                contract,
                contract_version,
                status,
                code,
                fail_text,
                body[output_at : output_at + _HASH],
                writes,
                request_id + learned,
            )
        )
    return tuple(sliced)


def slice_outcome(body: bytes) -> OutcomeSlices:
    """The fields of one verified `Outcome`, see `slice_outcomes`."""
    return slice_outcomes((body,))[0]


def _caller(body: bytes, begin: int) -> _Caller:
    entity, end = _text(body, begin)
    learned = body[begin:end]
    start = _skip_integer(body, end)  # key_version
    contract, end = _text(body, start)
    learned += body[start:end]
    contract_version, start = _integer(body, end)
    status = _STATUS[body[start] >> 1]
    code, end = _text(body, start + 1)
    learned += body[start:end]
    fail_text, end = _text(body, end)
    return _Caller(body[begin:end], entity, contract, contract_version, status, code, fail_text, learned)


def slice_argument(entry: bytes) -> bytes:
    """The argument of the request in a verified `Entry`: canonical JSON.

    Raises:
        MalformedMessageError: the bytes end early.
    """
    try:
        at = _skip_integer(entry, 0)  # index
        at = _skip_integer(entry, at)  # length of the envelope
        at = _skip_integer(entry, at)  # length of the body in it
        at = _skip_integer(entry, at) + _HASH  # format, ledger_id
        at = _skip_text(entry, at)  # entity
        at = _skip_integer(entry, at) + _NONCE  # key_version, nonce
        at = _skip_text(entry, at)  # contract
        at = _skip_integer(entry, at)  # contract_version
        argument, end = _text(entry, at)
    except IndexError as error:
        raise MalformedMessageError("entry: the bytes end early") from error
    if end > len(entry):
        raise MalformedMessageError("entry: the bytes end early")
    return argument


def join_learned_request(outcome: OutcomeSlices, values: Sequence[bytes]) -> bytes:
    """The bytes of a `LearnedRequest`; `values` are those of the outcome's writes."""
    if not values:
        return outcome.learned + b"\0"
    parts = [outcome.learned, _integer_bytes(len(values))]
    for write, value in zip(outcome.writes, values, strict=True):
        parts += (write[-1], _integer_bytes(len(value)), value)
    parts.append(b"\0")
    return b"".join(parts)


def join_learned(
    ledger_id: bytes, sequence: int, ordered_at_ms: int, learned_at_ms: int, requests: Sequence[bytes]
) -> bytes:
    """A framed `Learned` message of requests that `join_learned_request` made."""
    head = b"".join(
        (
            Learned.avro.frame,
            ledger_id,
            _integer_bytes(sequence),
            _integer_bytes(ordered_at_ms),
            _integer_bytes(learned_at_ms),
        )
    )
    if not requests:
        return head + b"\0"
    return b"".join((head, _integer_bytes(len(requests)), *requests, b"\0"))


# --- Avro's binary encoding ---


def _integer(body: bytes, at: int) -> tuple[int, int]:
    """An int or long, and where it ends."""
    byte = body[at]
    at += 1
    zigzag = byte & 0x7F
    shift = 7
    while byte > 0x7F:
        byte = body[at]
        at += 1
        zigzag |= (byte & 0x7F) << shift
        shift += 7
    return (zigzag >> 1) ^ -(zigzag & 1), at


def _skip_integer(body: bytes, at: int) -> int:
    while body[at] > 0x7F:
        at += 1
    return at + 1


def _text(body: bytes, at: int) -> tuple[bytes, int]:
    """A string's or bytes' content, and where it ends."""
    length = body[at]
    if length <= 0x7F:  # nearly always
        at += 1
        end = at + (length >> 1)
        return body[at:end], end
    length, at = _length(body, at)
    return body[at : at + length], at + length


def _skip_text(body: bytes, at: int) -> int:
    length = body[at]
    if length <= 0x7F:
        return at + 1 + (length >> 1)
    length, at = _length(body, at)
    return at + length


def _length(body: bytes, at: int) -> tuple[int, int]:
    """A length or a count of items, and where it ends. A negative one would go back, perhaps for ever; one that is
    greater than all there is may be too great for a place in bytes.
    """
    length, at = _integer(body, at)
    if not 0 <= length <= len(body):
        raise MalformedMessageError("a length is negative, or goes beyond the end")
    return length, at


def _begin(body: bytes, begin: int) -> _Begin:
    hashes: dict[bytes, bytes] = {}
    rest, at = _length(body, begin)
    while rest and body.startswith(_REGISTRY, at):
        start = at
        at = _skip_text(body, _skip_text(body, at))  # namespace, key
        place = body[start:at]
        at = _skip_integer(body, _skip_integer(body, _skip_integer(body, at)))  # version, its writer's sequence, index
        if at + _HASH > len(body):
            raise MalformedMessageError("outcome: the bytes end early")
        hashes[place] = body[at : at + _HASH]
        at += _HASH
        rest -= 1
    return _Begin(body[begin:at], hashes, rest)


def _read_hashes(body: bytes, at: int, begin: _Begin) -> tuple[dict[bytes, bytes], int]:
    """The hash of each of an outcome's `ReadPin`s by its namespace and key as encoded, and where they end.

    Written out, as this is half of all the work.
    """
    hashes = begin.hashes.copy()
    for _ in range(begin.rest):
        start = at
        length = body[at]  # namespace
        at = at + 1 + (length >> 1) if length <= 0x7F else _skip_text(body, at)
        length = body[at]  # key
        at = at + 1 + (length >> 1) if length <= 0x7F else _skip_text(body, at)
        place = body[start:at]
        while body[at] > 0x7F:  # version
            at += 1
        at += 1
        while body[at] > 0x7F:  # sequence of its writer
            at += 1
        at += 1
        while body[at] > 0x7F:  # index of its writer
            at += 1
        at += 1
        hashes[place] = body[at : at + _HASH]
        at += _HASH
    return hashes, at + 1 if hashes else at


def _skip_scans(body: bytes, at: int) -> int:
    """Walk over the array of an outcome's `ScanPins`."""
    if body[at] == 0:  # nearly always
        return at + 1
    count, at = _length(body, at)
    if not count:
        return at
    for _ in range(count):
        at = _skip_text(body, _skip_text(body, _skip_text(body, at)))  # namespace, start, end
        at = _skip_text(body, _skip_integer(body, at)) + 1  # limit, covered_to, exhausted
        pins, at = _length(body, at)
        for _ in range(pins):
            at = _skip_text(body, at)  # key
            at = _skip_integer(body, _skip_integer(body, _skip_integer(body, at))) + _HASH
        at += pins > 0
    return at + 1


def _writes(
    body: bytes, at: int, read_hashes: Mapping[bytes, bytes]
) -> tuple[tuple[WriteSlices, ...], int]:
    """The array of an outcome's `WritePin`s, and where it ends. Written out as well."""
    count, at = _length(body, at)
    if not count:
        return (), at
    writes = []
    for _ in range(count):
        start = at
        size = body[at]
        if size <= 0x7F:
            at += 1
            end = at + (size >> 1)
        else:
            size, at = _length(body, at)
            end = at + size
        namespace = body[at:end]
        at = end
        size = body[at]
        if size <= 0x7F:
            at += 1
            end = at + (size >> 1)
        else:
            size, at = _length(body, at)
            end = at + size
        key = body[at:end]
        previous_hash = read_hashes.get(body[start:end], b"")
        version = body[end]
        if version <= 0x7F:
            version, at = (version >> 1) ^ -(version & 1), end + 1
        else:
            version, at = _integer(body, end)
        deleted = body[at] == 1
        at += 1
        hash_end = at + _HASH
        writes.append((namespace, key, version, deleted, body[at:hash_end], previous_hash, body[start:at]))
        at = hash_end
    return tuple(writes), at + 1


def _integer_bytes(value: int) -> bytes:
    """An int or long as Avro encodes it."""
    zigzag = (value << 1) ^ (value >> 63)
    if zigzag <= 0x7F:
        return _BYTES[zigzag]
    encoded = bytearray()
    while zigzag > 0x7F:
        encoded.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    encoded.append(zigzag)
    return bytes(encoded)
