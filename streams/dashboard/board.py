"""All that was seen on the log, and the snapshot of it that the page draws.

Threads that read the log write here, the server reads; one lock keeps them apart.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocol.configuration import Epochs
from schemas.feed import Metrics
from streams.dashboard.decisions import DecisionLog, SeenDecision
from streams.dashboard.exposures import Exposures, JudgedEvidence
from streams.dashboard.pipeline import SILENT_MS, LagClock, StageView, state_of, view_stages
from streams.dashboard.processes import Processes, ProcessHistory
from streams.dashboard.skipped import skipped_messages
from streams.dashboard.suspicions import suspicions


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """What the page says of the ledger itself; n, b, c, k and the allowed skew of clocks as in its epoch."""

    ledger_id: bytes
    epoch: int
    n: int
    b: int
    c: int
    k: int
    window: int
    skew_ms: int = 300_000

    @classmethod
    def of(cls, epochs: Epochs) -> "LedgerFacts":
        """From its configurations."""
        latest = epochs.latest
        return cls(
            ledger_id=epochs.ledger_id,
            epoch=latest.epoch,
            n=latest.n,
            b=latest.b,
            c=latest.c,
            k=latest.k,
            window=latest.window,
            skew_ms=latest.skew_ms,
        )


class Board:
    """What is known, and since when.

    Args:
        ledger: which one is watched.
        now_ms: our time.
    """

    def __init__(self, ledger: LedgerFacts, now_ms: int) -> None:
        self._ledger = ledger
        self._started_ms = now_ms
        self._lock = threading.Lock()
        replicas = (f"replica-{index}" for index in range(ledger.n))
        self._processes = Processes(
            ("auditor", "ledger", *replicas, "learner", "views", "dashboard", "client")
        )
        self._decisions = DecisionLog()
        self._exposures = Exposures()
        self._clock = LagClock()
        self._foreign_metrics = 0
        self._away_ms = 0
        self._activity: Mapping[str, Any] | None = None

    # --- What threads saw ---

    def take_metrics(self, metrics: Metrics | None, now_ms: int, appended_ms: int | None = None) -> None:
        """A message on `metrics`, and when the broker appended it, by its clock; None if it is none."""
        with self._lock:
            if metrics is None or not self._processes.take(metrics, now_ms, appended_ms):
                self._foreign_metrics += 1

    def take_decision(self, seen: SeenDecision | None, at_ms: int) -> None:
        """A message on `decisions` whose signatures were verified; None if they are not both parties'."""
        with self._lock:
            if seen is None:
                self._decisions.skipped += 1
            else:
                self._decisions.take(seen, at_ms)

    def take_evidence(self, judged: JudgedEvidence) -> None:
        """A message on `evidence`, judged."""
        with self._lock:
            self._exposures.take(judged)

    def await_verdicts(self, waiting: int) -> None:
        """How much evidence was read and not judged yet."""
        with self._lock:
            self._exposures.waiting = waiting

    def take_reachability(self, away_ms: int) -> None:
        """For how long the broker has not answered."""
        with self._lock:
            self._away_ms = away_ms

    def take_activity(self, activity: Mapping[str, Any] | None) -> None:
        """What the live views show; None if they cannot be asked."""
        with self._lock:
            self._activity = activity

    # --- What the page draws ---

    def is_healthy(self, now_ms: int) -> bool:
        """Whether what is shown is of now."""
        with self._lock:
            return self._broker_away_ms(now_ms) == 0

    def _broker_away_ms(self, now_ms: int) -> int:
        """For how long the broker has been away; one that hangs keeps its connections, and says nothing to anybody.

        Then nobody's measures come, our own no more than the others'.
        """
        own, newest = self._processes.active("dashboard"), self._processes.last_seen_ms()
        quiet_ms = 0 if own is None else now_ms - newest
        return max(self._away_ms, quiet_ms if quiet_ms > SILENT_MS else 0)

    def measures(self, now_ms: int) -> list[tuple[str, str, Mapping[str, float]]]:
        """Role, instance and last measures of every process."""
        with self._lock:
            return [(each.role, each.instance, each.values) for each in self._processes.listed(now_ms)]

    def snapshot(self, now_ms: int) -> dict[str, Any]:
        """Everything the page draws, as JSON."""
        with self._lock:
            stages = view_stages(self._processes, self._ledger.n, self._clock, now_ms)
            listed = list(self._processes.listed(now_ms))
            away_ms = self._broker_away_ms(now_ms)
            suspected = suspicions(
                stages,
                listed,
                self._exposures,
                away_ms=away_ms,
                listening_ms=now_ms - self._started_ms,
                now_ms=now_ms,
                skew_ms=self._ledger.skew_ms,
            )
            return {
                "now_ms": now_ms,
                "ledger": self._ledger_json(),
                "broker_away_ms": away_ms,
                "decisions": self._decisions.snapshot(now_ms),
                "requests": _requests(stages["order"], self._ledger.window),
                "stages": {name: view.snapshot() for name, view in stages.items()},
                "flows": _flows(stages, self._ledger.n),
                "replicas": [
                    self._replica(index, stages, f"replica-{index}") for index in range(self._ledger.n)
                ],
                "learner": _learner(stages["learn"], stages["views"]),
                "processes": [_process(history, now_ms) for history in listed],
                "evidence": self._exposures.snapshot(),
                "suspected": [suspicion._asdict() for suspicion in suspected],
                "skipped": skipped_messages(stages, self._foreign_metrics),
                "foreign_metrics": self._foreign_metrics,
                "activity": self._activity,
            }

    def _ledger_json(self) -> dict[str, Any]:
        facts = self._ledger
        return {
            "id": facts.ledger_id.hex(),
            "epoch": facts.epoch,
            "n": facts.n,
            "b": facts.b,
            "c": facts.c,
            "k": facts.k,
            "window": facts.window,
        }

    def _replica(self, index: int, stages: Mapping[str, StageView], name: str) -> dict[str, Any]:
        view, learner = stages[name], stages["learn"]
        exposed = self._exposures.exposes(f"replica {index}")
        wrong = learner.measure(f"wrong_{index}") or learner.measure(f"misconfigured_{index}")
        blamed = learner.measure(f"gauge_blamed_{index}")
        return {
            "index": index,
            "state": view.state,
            "sequence": view.sequence,
            "lag": view.lag,
            "batches_per_s": view.rate("updates"),
            "bytes_per_s": view.rate("published_bytes"),
            "blocks_behind": learner.measure(f"gauge_lag_{index}"),
            "wrong_pieces": wrong or 0,
            "blamed": "exposed" if exposed else "suspected" if blamed or wrong else None,
        }


def _requests(order: StageView, window: int) -> dict[str, Any]:
    """What comes in, what is turned away, and how full the window of undecided batches is."""
    return {
        "in_per_s": order.rate("messages_in"),
        "curve": order.curve("messages_in"),
        "rejected_per_s": order.rate("rejected"),
        "rejected": order.measure("rejected"),
        "unreadable": (order.measure("skipped") or 0) + (order.measure("unauthenticated") or 0),
        "undecided": order.measure("gauge_undecided"),
        "window": window,
    }


def _flows(stages: Mapping[str, StageView], replicas: int) -> dict[str, float | None]:
    """Messages per second on each topic of the line, but the requests themselves."""
    rates = (stages[f"replica-{index}"].rate("blocks") for index in range(replicas))
    blocks = [rate for rate in rates if rate is not None]
    return {
        "requests": stages["order"].rate("messages_in"),
        "orders": stages["order"].rate("gauge_sequence"),
        "results": stages["commit"].rate("batches"),
        "decisions": stages["validate"].rate("decisions"),
        "pieces": sum(blocks) if blocks else None,
        "learned": stages["learn"].rate("gauge_sequence"),
    }


def _learner(learner: StageView, views: StageView) -> dict[str, Any]:
    return {
        "blocks_per_s": learner.rate("decodes"),
        "block": learner.measure("gauge_block"),
        "held_bytes": learner.measure("gauge_held_bytes"),
        "learned_p50_ms": views.measure("gauge_learned_p50_ms"),
        "learned_p99_ms": views.measure("gauge_learned_p99_ms"),
        "shown_p50_ms": views.measure("gauge_shown_p50_ms"),
        "shown_p99_ms": views.measure("gauge_shown_p99_ms"),
    }


def _process(history: ProcessHistory, now_ms: int) -> dict[str, Any]:
    cpu, children_cpu = history.rate("process.cpu_us"), history.rate("process.children_cpu_us")
    return {
        "role": history.role,
        "instance": history.instance,
        "state": state_of(history, "", now_ms),
        "silent_ms": now_ms - history.seen_ms,
        "cpu": None if cpu is None else cpu / 1e6,
        "children_cpu": None if children_cpu is None else max(0.0, children_cpu) / 1e6,
        "rss_bytes": history.value("process.rss_bytes"),
        "children_rss_bytes": history.value("process.children_rss_bytes"),
        "threads": history.value("process.threads"),
    }
