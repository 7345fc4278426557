"""Messages of a log, as machines see them, and positions in it."""

from typing import NamedTuple

FIRST_OFFSET = -2
"""Offset of the oldest message that a partition still has."""

END_OFFSET = -1
"""Offset behind the newest message of a partition."""


class Message(NamedTuple):
    """A message as the log gave it; nothing of it is to be trusted."""

    topic: str
    partition: int
    offset: int
    leader_epoch: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


class Outgoing(NamedTuple):
    """A message to be published; the key may be None."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes


class Position(NamedTuple):
    """Where to read next; a leader epoch of -1 is unknown."""

    topic: str
    partition: int
    offset: int
    leader_epoch: int = -1


class Alarm(NamedTuple):
    """A log ends before its reader's position: it lost its tail.

    The reader was moved to `end_offset`, and goes on by sequence. Where that is above `position`, the log lost
    its start, in a topic whose readers can do without it (`streams.piece_log`).
    """

    topic: str
    partition: int
    position: int
    end_offset: int
