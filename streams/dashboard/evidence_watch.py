"""Reads all evidence there is, and brings what the offline verifier says of it onto the board.

Whoever may write to the topic may write rubbish, as much as he likes. So pieces are judged one by one, in their order,
each once, and judging takes a bounded share of the time; the log keeps what has to wait.
"""

import hashlib
import logging
import time
from collections import OrderedDict

from schemas.topics import EVIDENCE
from storage.effects import FIRST_OFFSET, Message, Position
from streams.dashboard.board import Board
from streams.dashboard.exposures import JudgedEvidence
from streams.evidence_judge import EvidenceJudge
from streams.log import LogReader, LogStartLostError, LogUnavailableError
from streams.stop_signal import StopSignal

_AT_ONCE = 16
_WAIT_MS = 500
_PAUSE_S = 0.5
_REST = 3.0
"""How long to rest after each piece, in times of what judging it took."""
_REST_S_MAX = 5.0
_REMEMBERED = 10_000

_log = logging.getLogger("countersign.dashboard")


class EvidenceWatch:
    """Watches the topic until told to stop; runs in a thread of its own.

    Args:
        reader: of the log; this watch's own.
        judge: says what a message proves.
        board: verdicts go there.
        stop: when to end.
    """

    def __init__(self, reader: LogReader, judge: EvidenceJudge, board: Board, stop: StopSignal) -> None:
        self._reader = reader
        self._judge = judge
        self._board = board
        self._stop = stop
        self._judged: OrderedDict[bytes, None] = OrderedDict()

    def run(self) -> None:
        """Watch."""
        is_placed = False
        while not self._stop.requested:
            try:
                if not is_placed:
                    self.begin()
                    is_placed = True
                self.look()
            except (LogStartLostError, LogUnavailableError) as error:
                _log.warning("%s: %s", error.code, error.detail)
                is_placed = False
                self._stop.wait(_PAUSE_S)

    def begin(self) -> None:
        """Go to the beginning of the topic: what once convicted somebody does so for ever.

        Raises:
            LogUnavailableError: do it again later.
        """
        self._reader.seek([Position(EVIDENCE, 0, FIRST_OFFSET)])

    def look(self) -> None:
        """Judge what has come, or wait a moment for it.

        Raises:
            LogStartLostError: begin again.
        """
        messages, _ = self._reader.receive((EVIDENCE,), _AT_ONCE, _WAIT_MS)
        for done, message in enumerate(messages):
            if self._stop.requested:
                return
            self._board.await_verdicts(len(messages) - done)
            self._take(message)
        self._board.await_verdicts(0)

    def _take(self, message: Message) -> None:
        data = message.value or b""
        evidence_hash = hashlib.sha256(data).digest()
        if evidence_hash in self._judged:
            return
        began = time.monotonic()
        judged = self._judge.judge(data)
        self._judged[evidence_hash] = None
        if len(self._judged) > _REMEMBERED:
            self._judged.popitem(last=False)
        self._board.take_evidence(
            JudgedEvidence(
                kind=judged.kind, verdict=judged.verdict, evidence_hash=evidence_hash, at_ms=message.timestamp_ms
            )
        )
        self._stop.wait(min(_REST_S_MAX, _REST * (time.monotonic() - began)))
