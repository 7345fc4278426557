"""Updates that a learner gives back where `decisions` was shortened: the Ledger checks them all by itself.

An update lacks the parties' signatures. So:

1. Every update must follow the Ledger's own head, one by one: sequence, predecessor, root of the journal; and
   its order, commitment, entries and outcomes must be those that its statement fixes.
2. The last one's statement must be the countersigned one that came with it, whose signatures are verified before
   anything is stored, the Ledger's own among them. Hash by hash, that covers all before it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from protocol import merkle
from protocol.configuration import Epochs
from protocol.countersigned import CheckedStatement, check_parts
from protocol.errors import CountersignError
from protocol.journal import Head
from schemas.errors import MalformedMessageError
from schemas.statement import Countersigned, Update

_NO_SIGNATURE = bytes(64)


class LearnedUpdateError(ValueError):
    """An update that is not of the Ledger's own history."""


class LearnedUpdate(NamedTuple):
    """An update and the statement in it, whose parts agree."""

    update: Update
    checked: CheckedStatement


def check_updates(
    head: Head, bodies: Sequence[bytes], last: Countersigned, epochs: Epochs
) -> tuple[list[LearnedUpdate], CheckedStatement]:
    """Check updates that should lead from a head to a countersigned statement, all but its signatures.

    Args:
        head: of the Ledger's own journal; what it has already is left out.

    Returns:
        The updates above the head, and the last statement with the signatures to verify.

    Raises:
        LearnedUpdateError: they do not lead there.
    """
    found: list[LearnedUpdate] = []
    try:
        end = check_parts(last, epochs)
        for body in bodies:
            update = Update.from_bytes(body)
            checked = check_parts(_unsigned(update), epochs)
            if checked.statement.sequence <= head.sequence:
                continue
            head.check_follows(checked.statement)
            if len(update.entries) != checked.statement.count:
                raise LearnedUpdateError("entries are missing")
            if merkle.root(update.entries) != checked.header.entries_root:
                raise LearnedUpdateError("the entries are not the ordered ones")
            if merkle.root(update.outcomes) != checked.statement.outcomes_root:
                raise LearnedUpdateError("the outcomes are not the signed ones")
            head = head.advance(update.statement)
            found.append(LearnedUpdate(update, checked))
    except (MalformedMessageError, CountersignError) as error:
        raise LearnedUpdateError(str(error)) from error
    if head.statement_hash != end.statement_hash:
        raise LearnedUpdateError("they do not lead to the countersigned statement")
    return found, end


def _unsigned(update: Update) -> Countersigned:
    """An update's statement in the form that is checked; its signatures, which it has not, are never verified."""
    return Countersigned(
        statement=update.statement,
        header=update.header,
        order_signature=_NO_SIGNATURE,
        ledger_signature=_NO_SIGNATURE,
        salt=update.salt,
        auditor_signature=_NO_SIGNATURE,
    )
