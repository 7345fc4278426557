"""Reads `metrics` and `decisions` from now on, and brings them onto the board.

A decision counts only if the order's signature, the Ledger's and the Auditor's verify under the keys of its
epoch: what the page shows as decided, both parties have signed, whoever else writes to the topic.
"""

import logging

from protocol.configuration import Epochs
from protocol.countersigned import check_parts
from protocol.errors import CountersignError
from protocol.evidence.case import verify_signature
from schemas.errors import MalformedMessageError
from schemas.feed import Metrics
from schemas.statement import DecisionHead
from schemas.topics import DECISIONS, METRICS
from storage.effects import END_OFFSET, Message, Position
from streams.clock import now_ms
from streams.dashboard.board import Board
from streams.dashboard.decisions import LISTED, SeenDecision
from streams.log import LogReader, LogStartLostError, LogUnavailableError
from streams.stop_signal import StopSignal

_TOPICS = (METRICS, DECISIONS)
_AT_ONCE = 64
_WAIT_MS = 250
_PAUSE_S = 0.5

_log = logging.getLogger("countersign.dashboard")


class LogWatch:
    """Watches the log until told to stop; runs in a thread of its own.

    Args:
        reader: of the log; this watch's own.
        epochs: whose keys count.
        board: what is seen goes there.
        stop: when to end.
    """

    def __init__(self, reader: LogReader, epochs: Epochs, board: Board, stop: StopSignal) -> None:
        self._reader = reader
        self._epochs = epochs
        self._board = board
        self._stop = stop

    def run(self) -> None:
        """Watch."""
        is_placed = False
        while not self._stop.requested:
            try:
                if not is_placed:
                    self.begin()
                    is_placed = True
                self.look()
            except LogStartLostError:  # this machine slept for longer than metrics are kept
                is_placed = False
            except LogUnavailableError as error:
                _log.warning("%s: %s", error.code, error.detail)
                self._board.take_reachability(max(1, self._reader.unreachable_ms()))
                self._stop.wait(_PAUSE_S)

    def begin(self) -> None:
        """Go to the end of the log, and look at the last decisions before it, some of which were sent twice.

        Raises:
            LogUnavailableError: do it again later.
        """
        self._reader.seek([Position(topic, 0, END_OFFSET) for topic in _TOPICS])
        for message in self._reader.read_tail(DECISIONS, 2 * LISTED):
            seen = self._decision(message)
            if seen is not None:
                self._board.take_decision(seen, seen.decided_at_ms)

    def look(self) -> None:
        """Take in what has come, or wait a moment for it.

        Raises:
            LogStartLostError: begin again.
        """
        messages, _ = self._reader.receive(_TOPICS, _AT_ONCE, _WAIT_MS)
        for message in messages:
            self._take(message)
        self._board.take_reachability(self._reader.unreachable_ms())

    def _take(self, message: Message) -> None:
        if message.topic == DECISIONS:
            self._board.take_decision(self._decision(message), now_ms())
            return
        try:
            metrics = Metrics.from_message(message.value or b"")
        except MalformedMessageError:
            self._board.take_metrics(None, now_ms())
        else:
            self._board.take_metrics(metrics, now_ms(), message.timestamp_ms)

    def _decision(self, message: Message) -> SeenDecision | None:
        """The decision in a message, if both parties signed it."""
        try:
            signed = DecisionHead.of_decision(message.value or b"").signed
            checked = check_parts(signed, self._epochs)
            for check in checked.checks:
                verify_signature(check)
        except (MalformedMessageError, CountersignError):
            return None
        statement = checked.statement
        return SeenDecision(
            sequence=statement.sequence,
            count=statement.count,
            kind=str(statement.kind),
            ordered_at_ms=statement.ordered_at_ms,
            decided_at_ms=message.timestamp_ms,
            statement_hash=checked.statement_hash,
        )
