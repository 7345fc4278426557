"""The writer of whoever only reads."""

from collections.abc import Sequence

from storage.effects import Outgoing


class SilentWriter:
    """A `LogWriter` that nobody asks to send anything."""

    def send(self, messages: Sequence[Outgoing]) -> None:
        """See `LogWriter.send`."""
        raise AssertionError("whoever only reads publishes nothing")

    def flush(self, wait_ms: int) -> bool:
        """See `LogWriter.flush`."""
        return True

    def unreachable_ms(self) -> int:
        """See `LogWriter.unreachable_ms`."""
        return 0

    def close(self) -> None:
        """See `LogWriter.close`."""
