"""Whether what an update holds is what its statement fixes, byte for byte.

A statement fixes its entries and outcomes through their roots. Outputs and values travel beside them and are
fixed only by the hashes that stand in the outcomes. So:

1. Whoever spreads or shows an update checks outputs and values too. If a broker altered one of them on its
   way to one replica, that honest replica would sign a piece that none of the others has.
2. A version written chains to the one before it, which is among the reads of its request.
"""

import struct
from collections.abc import Sequence
from typing import Final

from protocol import merkle
from protocol.configuration import Epochs
from protocol.countersigned import CheckedStatement, check_parts
from protocol.errors import CountersignError
from protocol.hashing import tagged
from protocol.native import NATIVE
from protocol.records import record_hash_of_names
from schemas.errors import MalformedMessageError
from schemas.order import OrderHeader
from schemas.slices import slice_outcomes
from schemas.statement import Countersigned, Decision, DecisionHead, Statement, Update

_EMPTY_ARRAY: Final = b"\0"
_NO_SIGNATURE: Final = bytes(64)
_native: Final = None if NATIVE is None else NATIVE.attachments_hold


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
    attached = content.outcomes, content.outputs, content.values
    if _native is not None and _native(statement.ledger_id, *attached):
        return
    try:
        check_attachments(statement.ledger_id, *attached)
    except (MalformedMessageError, IndexError, UnicodeDecodeError, struct.error) as error:
        raise UpdateError(f"an outcome that no party would make: {error!r}") from error


def check_attachments(
    ledger_id: bytes, outcomes: Sequence[bytes], outputs: Sequence[bytes], values: Sequence[bytes]
) -> None:
    """Check outputs and values against the outcomes they belong to.

    Raises:
        UpdateError: one is missing, superfluous or another.
        MalformedMessageError: an outcome ends early, or goes on.
        UnicodeDecodeError, struct.error: an outcome has a name or a version that none can have.
    """
    rest = iter(values)
    for outcome, output in zip(slice_outcomes(outcomes), outputs, strict=True):
        request_id, _, _, _, _, _, _, output_hash, writes, _ = outcome
        if tagged("output", output) != output_hash:
            raise UpdateError("an output is not the one its outcome pins")
        for namespace, key, version, deleted, pinned, previous_hash, _ in writes:
            value = next(rest, None)
            if value is None or deleted == bool(value):
                raise UpdateError("a version has no value, or a deletion has one")
            if not (namespace.isascii() and key.isascii()):
                namespace.decode(), key.decode()  # no party names a record otherwise than in UTF-8
            found = record_hash_of_names(
                ledger_id, namespace, key, version, deleted, value, request_id, previous_hash
            )
            if found != pinned:
                raise UpdateError(f"a value is not the version {version} that its outcome pins")
    if next(rest, None) is not None:
        raise UpdateError("more values than writes")
