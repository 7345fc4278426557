"""Transaction ids: 12 hexadecimal digits of the time it began, then 20 of randomness.

So ids of one coordinator bucket are in order of time, which lets the sweeper walk the oldest first, and an id alone
says whether it is below the coordinator's horizon. The time is the client's own: a wrong clock costs an abort, never a
wrong answer.
"""

import re

from storage.model.errors import InvalidOperationError

BUCKETS = 16
"""Partitions of the coordinator's table: the last digit of the id says which."""

RANDOM_BYTES = 10
_ID = re.compile(r"[0-9a-f]{32}")
_TIME_DIGITS = 12


def transaction_id(now_ms: int, randomness: bytes) -> str:
    """A new id, from the time and 10 random bytes."""
    assert len(randomness) == RANDOM_BYTES
    return f"{now_ms:0{_TIME_DIGITS}x}{randomness.hex()}"


def begun_ms(transaction: str) -> int:
    """When the transaction with this id began, by its client's clock.

    Raises:
        InvalidOperationError: `value.out_of_range`: it is no transaction id.
    """
    if not _ID.fullmatch(transaction):
        raise InvalidOperationError("value.out_of_range", f"{transaction[:40]!r} is no transaction id")
    return int(transaction[:_TIME_DIGITS], 16)


def bucket(transaction: str) -> int:
    """The coordinator's bucket that holds the row of this id."""
    return int(transaction[-1], 16)


def lowest_id(at_ms: int) -> str:
    """No id of this time or later is below this."""
    return f"{at_ms:0{_TIME_DIGITS}x}"
