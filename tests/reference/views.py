"""A learner's views, said as plainly as possible: the twin of the real ones."""

from collections.abc import Iterable

from storage.views import (
    START,
    BlockRow,
    RequestRow,
    VersionRow,
    ViewPosition,
    ViewRows,
    check_continues,
)


class PlainViews:
    """All rows in the order they came, and the position."""

    def __init__(self) -> None:
        self.requests: list[RequestRow] = []
        self.history: list[VersionRow] = []
        self.blocks: list[BlockRow] = []
        self._position = START

    def position(self) -> ViewPosition:
        """How far the views reach."""
        return self._position

    def append(self, rows: ViewRows, position: ViewPosition) -> None:
        """Store rows and the position behind them."""
        check_continues(self._position, rows, position)
        self.requests.extend(rows.requests)
        self.history.extend(rows.versions)
        self.blocks.extend(rows.blocks)
        self._position = position

    def records(self, as_of: int | None = None) -> dict[tuple[bytes, bytes], VersionRow]:
        """The current version of every record, behind a sequence or the last one; by namespace and key."""
        return _latest(row for row in self.history if as_of is None or row[6] <= as_of)


def _latest(rows: Iterable[VersionRow]) -> dict[tuple[bytes, bytes], VersionRow]:
    latest: dict[tuple[bytes, bytes], VersionRow] = {}
    for row in rows:
        known = latest.get(row[:2])
        if known is None or row[2] > known[2]:
            latest[row[:2]] = row
    return latest
