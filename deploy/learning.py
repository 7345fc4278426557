"""What learning and keeping the journal costs, as tables for people and values for programs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.home import Home
from deploy.initialize import LEARNER
from deploy.presence import require_running
from learners.accounting import BlockCost, LearningReport, ReplicaCost, checksum_bytes
from protocol.configuration import Epochs
from protocol.errors import CountersignError
from schemas.errors import MalformedMessageError
from schemas.feed import Metrics
from schemas.topics import METRICS
from streams.clock import now_ms
from streams.kafka_log import KafkaLogReader
from streams.learn_once import LearnedJournal, learn_once
from streams.learner_process import open_reader

_METRICS_LOOKED_THROUGH = 256
"""Each process publishes one message a second: this looks back for some 20 s."""

_STAGE = "learn."

Row = tuple[object, ...]

TOTAL_COLUMNS = ("in total", "found", "at most", "by")
REPLICA_COLUMNS = ("replica", "messages", "counted", "at most", "signatures", "framing", "again", "skipped",
                   "lag", "missing", "wrong")  # fmt: skip
BLOCK_COLUMNS = ("block", "first", "updates", "bytes", "messages", "counted", "at most", "signatures", "framing",
                 "decodes", "at most ", "wrong", "missing")  # fmt: skip
STORAGE_COLUMNS = ("replica", "stored", "slices and checksums", "at most", "of |J|", "of |J|/k", "missing")


def learn_home(home: Home, on_progress: Callable[[int, int], None], *, check_clients: bool = False) -> LearnedJournal:
    """Learn a home's whole journal with a throw-away learner, as its learner's file says where pieces are.

    Raises:
        CountersignError: `config.missing`, `config.invalid`, `stack.down`, `broker.unreachable`, `broker.refused`.
    """
    configuration = home.load(LEARNER)
    if not configuration.replicas:  # else their pieces are there without the rest
        require_running(home, LEARNER)
    epochs = configuration.epochs()
    reader = open_reader(configuration, epochs)
    try:
        return learn_once(epochs, reader, now_ms, on_progress, check_clients=check_clients)
    finally:
        reader.close()


# --- A throw-away learner's account ---


def total_rows(report: LearningReport) -> list[Row]:
    """What everything cost, and what the theorems allow."""
    received = report.received
    return [
        ("messages", report.messages, report.messages_max, "one of each replica a block (Corollary 3.3)"),
        ("bytes: number, slice, checksum", received.counted, report.counted_max, "Theorem 3.2"),
        ("bytes: signatures and signed statement", received.signatures, "-", "what makes a piece authentic"),
        ("bytes: framing", received.framing, "-", "the rest of each message"),
        ("bytes: sent again, or of no worth", report.extra_bytes, "-", "repetitions, rubbish, other settings"),
        ("decode steps", report.decodes, report.decodes_max, "Theorem 3.8; simple checksums 3.4"),
        ("copies of the journal", round(report.copies, 3), "-", f"{report.journal_bytes:,} bytes of updates"),
    ]


def replica_rows(report: LearningReport) -> list[Row]:
    """What each replica sent."""
    return [
        (
            cost.replica,
            cost.messages,
            cost.received.counted,
            cost.counted_max,
            cost.received.signatures,
            cost.received.framing,
            cost.repeated,
            cost.skipped,
            report.lag_blocks(cost.replica),
            cost.missing,
            cost.wrong,
        )
        for cost in report.replicas
    ]


def block_rows(costs: Sequence[BlockCost]) -> list[Row]:
    """What each block cost."""
    return [
        (
            cost.block,
            cost.first_sequence,
            cost.updates,
            cost.block_length,
            len(cost.pieces),
            cost.received.counted,
            cost.counted_max,
            cost.received.signatures,
            cost.received.framing,
            cost.decodes,
            cost.decodes_max,
            _named(sorted(cost.wrong)),
            _named(cost.missing()),
        )
        for cost in costs
    ]


def _named(replicas: Sequence[int]) -> str:
    return ", ".join(map(str, replicas)) or "-"


def journal_values(found: LearnedJournal) -> dict[str, Any]:
    """All of it for programs."""
    report = found.report
    return {
        "sequence": found.sequence,
        "blocks": report.blocks,
        "updates": report.updates,
        "journal_bytes": report.journal_bytes,
        "copies": round(report.copies, 4),
        "messages": report.messages,
        "messages_max": report.messages_max,
        "counted_bytes": report.received.counted,
        "counted_bytes_max": report.counted_max,
        "signature_bytes": report.received.signatures,
        "framing_bytes": report.received.framing,
        "extra_bytes": report.extra_bytes,
        "decodes": report.decodes,
        "decodes_max": report.decodes_max,
        "within_bounds": report.is_within_bounds(),
        "blamed": [cost.replica for cost in report.replicas if cost.wrong],
        "evidence": len(found.evidence),
        "away": list(found.away),
        "halted": None if found.halt is None else {"code": found.halt.code, "text": found.halt.text},
        "replicas": [_replica_values(report, cost) for cost in report.replicas],
    }


def _replica_values(report: LearningReport, cost: ReplicaCost) -> dict[str, Any]:
    return {
        "replica": cost.replica,
        "messages": cost.messages,
        "counted_bytes": cost.received.counted,
        "counted_bytes_max": cost.counted_max,
        "signature_bytes": cost.received.signatures,
        "framing_bytes": cost.received.framing,
        "repeated": cost.repeated,
        "skipped": cost.skipped,
        "misconfigured": cost.misconfigured,
        "lag_blocks": report.lag_blocks(cost.replica),
        "missing_blocks": cost.missing,
        "wrong": cost.wrong,
    }


def block_values(costs: Sequence[BlockCost]) -> list[dict[str, Any]]:
    """Blocks for programs."""
    names = ("block", "first_sequence", "updates", "block_bytes", "messages", "counted_bytes", "counted_bytes_max",
             "signature_bytes", "framing_bytes", "decodes", "decodes_max")  # fmt: skip
    return [
        {
            **dict(zip(names, row, strict=False)),
            "repeated": cost.repeated,
            "wrong": sorted(cost.wrong),
            "missing": list(cost.missing()),
        }
        for cost, row in zip(costs, block_rows(costs), strict=True)
    ]


# --- What replicas keep ---


def storage_values(report: LearningReport, epochs: Epochs) -> dict[str, Any]:
    """What each replica stores of the journal, against all of it and against `1/k` of it (Proposition 4.2)."""
    k = epochs.latest.k
    share = report.journal_bytes / k
    replicas = []
    for cost in report.replicas:
        stored = cost.received.total + cost.repeated_bytes + cost.skipped_bytes
        replicas.append(
            {
                "replica": cost.replica,
                "stored_bytes": stored,
                "counted_bytes": cost.received.counted,
                "counted_bytes_max": cost.counted_max,
                "of_journal": round(stored / report.journal_bytes, 4) if share else 0.0,
                "of_share": round(stored / share, 4) if share else 0.0,
                "missing_blocks": cost.missing,
            }
        )
    return {
        "journal_bytes": report.journal_bytes,
        "share_bytes": round(share),
        "n": epochs.latest.n,
        "k": k,
        "checksum": epochs.latest.checksum,
        "blocks": report.blocks,
        "replicas": replicas,
    }


def storage_rows(values: Mapping[str, Any]) -> list[Row]:
    """The same as a table."""
    return [tuple(replica.values()) for replica in values["replicas"]]


# --- A learner that runs ---


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningLearner:
    """What a learner that runs has measured since it started.

    Attributes:
        values: by name, without the stage's.
    """

    instance: str
    at_ms: int
    values: Mapping[str, float]

    def rows(self, epochs: Epochs) -> list[Row]:
        """What everything cost since it started, and what the theorems allow for so many blocks."""
        latest, blocks = epochs.latest, self._whole("blocks")
        each = 8 + checksum_bytes(latest.checksum, latest.n) + 1
        counted_max = latest.n * (blocks * each + self._whole("block_bytes") // latest.k)
        return [
            ("messages", self._whole("messages"), latest.n * blocks, "one of each replica a block"),
            ("bytes of every kind", self._whole("received_bytes"), "-", "signatures and framing too"),
            ("bytes: number, slice, checksum", "-", counted_max, "Theorem 3.2"),
            ("decode steps", self._whole("decodes"), blocks, "Theorem 3.8; more with simple checksums"),
            ("repeated messages", self._whole("repeated"), "-", ""),
            ("skipped messages", self._whole("skipped"), "-", ""),
        ]

    def replica_rows(self, epochs: Epochs) -> list[Row]:
        """Replica, lag in blocks, missing blocks, wrong pieces, whether it is blamed."""
        return [
            (
                replica,
                self._whole(f"gauge_lag_{replica}"),
                self._whole(f"gauge_missing_{replica}"),
                self._whole(f"wrong_{replica}"),
                "yes" if self.values.get(f"gauge_blamed_{replica}") else "no",
            )
            for replica in range(epochs.latest.n)
        ]

    def _whole(self, name: str) -> int:
        return int(self.values.get(name, 0))


def running_learner(home: Home) -> RunningLearner:
    """What the home's learner said of itself last.

    Raises:
        CountersignError: `config.missing`, `stack.down`, `broker.unreachable`, or `sql.unreachable` where no learner
            runs.
    """
    require_running(home, LEARNER)
    reader = KafkaLogReader(home.load(LEARNER).connection())
    try:
        tail = reader.read_tail(METRICS, _METRICS_LOOKED_THROUGH)
    finally:
        reader.close()
    for message in reversed(tail):
        try:
            metrics = Metrics.from_message(message.value or b"")
        except MalformedMessageError:
            continue
        if metrics.role == LEARNER:
            values = {m.name.removeprefix(_STAGE): m.value for m in metrics.values if m.name.startswith(_STAGE)}
            return RunningLearner(instance=metrics.instance, at_ms=metrics.at_ms, values=values)
    raise CountersignError("sql.unreachable", "no learner has measured anything lately")
