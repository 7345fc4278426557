"""The journal inside a block: every update must follow the one before, and hold what its statement fixes."""

from collections.abc import Sequence
from typing import NamedTuple

from learners.updates import UpdateError, check_content, unsigned_parts
from protocol.configuration import Epochs
from protocol.journal import Head, JournalError
from schemas.errors import MalformedMessageError
from schemas.slices import OutcomeSlices, slice_outcomes
from schemas.statement import Statement, Update


class FollowedUpdate(NamedTuple):
    """An update that continues the journal."""

    update: Update
    statement: Statement
    outcomes: tuple[OutcomeSlices, ...]


def follow(head: Head, bodies: Sequence[bytes], epochs: Epochs) -> tuple[list[FollowedUpdate], Head]:
    """Go from a head through updates, checking everything in them but signatures, to the head after them.

    Raises:
        UpdateError: one of them cannot be read, does not follow, or holds something else than it should.
    """
    followed: list[FollowedUpdate] = []
    for body in bodies:
        try:
            update = Update.from_bytes(body)
            checked = unsigned_parts(update, epochs)
            head.check_follows(checked.statement)
        except (MalformedMessageError, JournalError) as error:
            raise UpdateError(f"after sequence {head.sequence}: {error}") from error
        check_content(update, checked.statement, checked.header)
        outcomes = slice_outcomes(update.outcomes)
        head = head.advance(update.statement)
        followed.append(FollowedUpdate(update, checked.statement, outcomes))
    return followed, head
