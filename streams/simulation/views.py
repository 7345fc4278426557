"""A learner's views in memory: what it learned, row by row, for comparing with the parties' records."""

from storage.views import START, RequestRow, VersionRow, ViewPosition, ViewRows, check_continues


class MemoryViews:
    """Views that outlive their learner. See `storage.views.Views`."""

    def __init__(self) -> None:
        self._position = START
        self.requests: list[RequestRow] = []
        self.versions: list[VersionRow] = []

    def position(self) -> ViewPosition:
        """How far they reach."""
        return self._position

    def append(self, rows: ViewRows, position: ViewPosition) -> None:
        """Store rows and position."""
        check_continues(self._position, rows, position)
        self.requests += rows.requests
        self.versions += rows.versions
        self._position = position

    def close(self) -> None:
        """Nothing to give back."""
