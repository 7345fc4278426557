"""Whether what an update holds is what its statement fixes, byte for byte.

A statement fixes its entries and outcomes through their roots. Outputs and values travel beside them and are
fixed only by the hashes that stand in the outcomes. So:

1. Whoever spreads or shows an update checks outputs and values too. If a broker altered one of them on its
   way to one replica, that honest replica would sign a piece that none of the others has.
2. Outcomes whose root was verified are walked over and not decoded: only hashes, and the names of what was
   written, are cut out. That takes a tenth of the time.
3. A version written chains to the one before it, which is among the reads of its request.

Source of the encoding: Apache Avro 1.12 specification, "Binary encoding".
"""

import struct
from collections.abc import Iterator, Sequence

from protocol import merkle
from protocol.configuration import Epochs
from protocol.countersigned import CheckedStatement, check_parts
from protocol.errors import CountersignError
from protocol.hashing import HASH_SIZE, tagged
from protocol.records import RecordKey, record_hash
from schemas.order import OrderHeader
from schemas.statement import Countersigned, Decision, DecisionHead, Statement, Update

_EMPTY_ARRAY = b"\0"
_NO_SIGNATURE = bytes(64)


class UpdateError(ValueError):
    """Content that is not what the statement fixes."""


def update_bytes(decision: Decision, body: bytes) -> bytes:
    """The bytes of a decision's `Update`.

    What follows the signatures stands alike in both, so it is cut out and not encoded again.

    Requires: `decision` was parsed from `body`.
    """
    signed = decision.signed
    content = body[len(DecisionHead(signed=signed).to_bytes()) :]
    nothing: tuple[bytes, ...] = ()
    head = Update(
        statement=signed.statement,
        header=signed.header,
        salt=signed.salt,
        entries=nothing,
        outcomes=nothing,
        outputs=nothing,
        values=nothing,
    ).to_bytes()
    return head.removesuffix(4 * _EMPTY_ARRAY) + content


def unsigned_parts(update: Update, epochs: Epochs) -> CheckedStatement:
    """Check that statement, order header and salt of an update agree; its signatures are not in it.

    Raises:
        UpdateError: they do not.
    """
    signed = Countersigned(
        statement=update.statement,
        header=update.header,
        order_signature=_NO_SIGNATURE,
        ledger_signature=_NO_SIGNATURE,
        salt=update.salt,
        auditor_signature=_NO_SIGNATURE,
    )
    try:
        return check_parts(signed, epochs)
    except CountersignError as error:
        raise UpdateError(str(error)) from error


def check_content(content: Decision | Update, statement: Statement, header: OrderHeader) -> None:
    """Check entries, outcomes, outputs and values against the statement and order header they came with.

    Requires: statement and header belong together (`protocol.countersigned.check_parts`).

    Raises:
        UpdateError: something is missing, superfluous or another.
    """
    if not len(content.entries) == len(content.outcomes) == len(content.outputs) == statement.count:
        raise UpdateError(f"not {statement.count} entries, outcomes and outputs")
    if merkle.root(content.entries) != header.entries_root:
        raise UpdateError("the entries are not the ordered ones")
    if merkle.root(content.outcomes) != statement.outcomes_root:
        raise UpdateError("the outcomes are not the signed ones")
    check_attachments(statement.ledger_id, content.outcomes, content.outputs, content.values)


def check_attachments(
    ledger_id: bytes, outcomes: Sequence[bytes], outputs: Sequence[bytes], values: Sequence[bytes]
) -> None:
    """Check outputs and values against the bytes of the verified outcomes they belong to.

    Raises:
        UpdateError: one is missing, superfluous or another.
    """
    rest = iter(values)
    try:
        for outcome, output in zip(outcomes, outputs, strict=True):
            _check_outcome(ledger_id, outcome, output, rest)
    except (IndexError, KeyError, UnicodeDecodeError, struct.error) as error:
        raise UpdateError(f"an outcome that no party would make: {error!r}") from error
    if next(rest, None) is not None:
        raise UpdateError("more values than writes")


def _check_outcome(ledger_id: bytes, body: bytes, output: bytes, values: Iterator[bytes]) -> None:
    """Check the attachments of one outcome, taking its values off `values`."""
    at = _skip_long(body, 0)  # index
    request_id = body[at : at + HASH_SIZE]
    at = _skip_text(body, at + HASH_SIZE)  # entity
    at = _skip_text(body, _skip_long(body, at))  # key_version, contract
    at = _skip_long(body, at) + 1  # contract_version, status
    at = _skip_text(body, _skip_text(body, at))  # code, fail_text
    if tagged("output", output) != body[at : at + HASH_SIZE]:
        raise UpdateError("an output is not the one its outcome pins")
    hashes, at = _reads(body, at + HASH_SIZE)
    at = _skip_scans(body, at)
    count, at = _long(body, at)
    for _ in range(count):
        start = at
        namespace, at = _text(body, at)
        key, at = _text(body, at)
        previous_hash = hashes[body[start:at]]
        version, at = _long(body, at)
        deleted = body[at] == 1
        at += 1
        value = next(values, None)
        if value is None or deleted == bool(value):
            raise UpdateError("a version has no value, or a deletion has one")
        name = RecordKey(namespace.decode(), key.decode())
        found = record_hash(ledger_id, name, version, deleted, value, request_id, previous_hash)
        if found != body[at : at + HASH_SIZE]:
            raise UpdateError(f"a value is not the version {version} that its outcome pins")
        at += HASH_SIZE
    if at + (count > 0) != len(body):
        raise UpdateError("an outcome does not end where its writes end")


def _reads(body: bytes, at: int) -> tuple[dict[bytes, bytes], int]:
    """The record_hash of each read by its namespace and key as encoded, and where the array ends."""
    hashes: dict[bytes, bytes] = {}
    count, at = _long(body, at)
    for _ in range(count):
        start = at
        length = body[at]  # short names are stepped over right here: calls would cost more than the rest
        at = at + 1 + (length >> 1) if length < 0x80 else _skip_text(body, at)
        length = body[at]
        at = at + 1 + (length >> 1) if length < 0x80 else _skip_text(body, at)
        place = body[start:at]
        while body[at] > 0x7F:  # version
            at += 1
        at += 1
        while body[at] > 0x7F:  # writer_sequence
            at += 1
        at += 1
        while body[at] > 0x7F:  # writer_index
            at += 1
        at += 1
        hashes[place] = body[at : at + HASH_SIZE]
        at += HASH_SIZE
    return hashes, at + (count > 0)


def _skip_scans(body: bytes, at: int) -> int:
    """Where the array of scans ends."""
    count, at = _long(body, at)
    for _ in range(count):
        at = _skip_text(body, _skip_text(body, _skip_text(body, at)))  # namespace, start, end
        at = _skip_text(body, _skip_long(body, at)) + 1  # limit, covered_to, exhausted
        rows, at = _long(body, at)
        for _ in range(rows):
            at = _skip_text(body, at)  # key
            at = _skip_long(body, _skip_long(body, _skip_long(body, at))) + HASH_SIZE
        at += rows > 0
    return at + (count > 0)


def _long(body: bytes, at: int) -> tuple[int, int]:
    """An int or long, and where it ends; a negative one counts nothing and is no version."""
    byte = body[at]
    at += 1
    if byte < 0x80:
        return byte >> 1, at
    zigzag, shift = byte & 0x7F, 7
    while byte > 0x7F:
        byte = body[at]
        at += 1
        zigzag |= (byte & 0x7F) << shift
        shift += 7
    return zigzag >> 1, at


def _skip_long(body: bytes, at: int) -> int:
    while body[at] > 0x7F:
        at += 1
    return at + 1


def _skip_text(body: bytes, at: int) -> int:
    length = body[at]
    if length < 0x80:
        return at + 1 + (length >> 1)
    size, at = _long(body, at)
    return at + size


def _text(body: bytes, at: int) -> tuple[bytes, int]:
    """A string's UTF-8, and where it ends."""
    size, at = _long(body, at)
    return body[at : at + size], at + size
