"""The port behind which a learner keeps what it shows: rows by the batch, with its position.

Rules:

1. Rows and position are stored in one transaction. So a learner that starts again at `position()` leaves no
   gap and repeats nothing.
2. Batches follow each other: the first block of one begins right behind the last sequence of the one before.
3. Text is UTF-8 and values are canonical JSON, both as bytes: they come out of bytes that were verified.
   `None` is the value of a deleted record, and the output of a request that failed.
4. The current version of a record is its greatest.

Rows are plain tuples in the order of their columns, because tens of thousands are made a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from protocol.errors import CountersignError

RequestRow = tuple[bytes, int, int, bytes, bytes, int, str, bytes, bytes, int, bytes, bytes | None]
REQUEST_COLUMNS = (
    "request_id",
    "sequence",
    "index",
    "entity",
    "contract",
    "contract_version",
    "status",
    "code",
    "fail_text",
    "ordered_at_ms",
    "argument",
    "output",
)

VersionRow = tuple[bytes, bytes, int, bool, bytes | None, bytes, int, int, bytes]
VERSION_COLUMNS = (
    "namespace",
    "key",
    "version",
    "deleted",
    "value",
    "record_hash",
    "sequence",
    "index",
    "request_id",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRow:
    """A block that was decoded and checked."""

    block: int
    first_sequence: int
    count: int
    epoch: int
    root: bytes
    learned_at_ms: int


class ViewPosition(NamedTuple):
    """How far the views reach.

    Attributes:
        sequence: of the last update in them, -1 before the first.
        state: what the learner needs to go on from there; the views only keep it.
    """

    sequence: int
    state: bytes


START = ViewPosition(-1, b"")
"""The position of new views."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewRows:
    """A batch of whole blocks, as rows.

    Attributes:
        requests: by sequence and index; columns as in `REQUEST_COLUMNS`.
        versions: record versions in the order they were written; columns as in `VERSION_COLUMNS`.
        blocks: by number.
    """

    requests: Sequence[RequestRow]
    versions: Sequence[VersionRow]
    blocks: Sequence[BlockRow]


class ViewsError(CountersignError):
    """The views cannot be used; `code` is one of the `views.*` codes, `path.refused` or `disk.full`."""


def require_openable(path: Path) -> None:
    """Require a path that DuckDB opens as it is: it takes a backslash for a slash, begins options at a question mark,
    and reads nothing but UTF-8.

    Raises:
        ViewsError: `path.refused`.
    """
    text = str(path)
    if "\\" in text or "?" in text or not _is_utf8(text):
        raise ViewsError("path.refused", repr(text))


def _is_utf8(text: str) -> bool:
    """Whether a path is: Python has a surrogate for each byte that is not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Views(Protocol):
    """A learner's views."""

    def position(self) -> ViewPosition:
        """How far they reach; `START` if nothing was appended yet."""
        ...

    def append(self, rows: ViewRows, position: ViewPosition) -> None:
        """Store rows and the position behind them in one transaction.

        Requires: the rows begin where `position()` ends, and end at the new position.

        Raises:
            ViewsError: nothing was stored, and the learner must start again.
        """
        ...

    def close(self) -> None:
        """Give back files and memory."""
        ...


def check_continues(last: ViewPosition, rows: ViewRows, position: ViewPosition) -> None:
    """Assert that a batch begins where the views end, and ends at its position."""
    following = last.sequence + 1
    for block in rows.blocks:
        assert block.first_sequence == following, f"block {block.block} does not begin at {following}"
        following += block.count
    assert position.sequence == following - 1, f"position {position.sequence}, rows end at {following - 1}"
    if rows.requests:
        assert last.sequence < rows.requests[0][1], "the requests begin before the blocks"
        assert rows.requests[-1][1] <= position.sequence, "the requests end after the blocks"
