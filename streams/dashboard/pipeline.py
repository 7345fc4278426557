"""The pipeline as it is, one table of stages: whose they are, and from which measures their figures come.

client -> requests -> Auditor: order -> orders -> Ledger: commit -> results -> Auditor: validate
-> decisions -> replicas -> pieces -> learner -> learned -> views
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from streams.dashboard.processes import Processes, ProcessHistory

SILENT_MS = 5_000
"""A process says how it is once a second; after this it is silent."""

Party = Literal["auditor", "ledger", "learner", "views"]
State = Literal["absent", "halted", "silent", "live"]

WORK: Mapping[str, str] = {
    "decode": "decide",
    "encode": "decide",
    "step": "decide",
    "Verify": "verify",
    "Execute": "execute",
    "Fetch": "store",
    "Apply": "store",
    "Load": "store",
    "Append": "store",
    "LoadPosition": "store",
    "ReadOutbox": "store",
    "Note": "guard",
    "ReadGuard": "guard",
    "Sign": "sign",
    "Publish": "publish",
    "ReadTail": "read",
    "Seek": "read",
    "FindDecisions": "read",
}
"""What a stage's time goes to, by the effect that takes it; the rest is waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of the line, or behind it.

    Attributes:
        meter: the prefix of its measures.
        counter: what it has done, and in which `unit`.
        reached: the measure of the last sequence it has done.
        after: the stage whose sequence it follows.
        waited: counters of milliseconds and of how often, and what they are the mean of.
    """

    name: str
    party: Party
    meter: str
    counter: str
    unit: str
    reached: str
    after: str | None = None
    waited: tuple[str, str, str] | None = None


LINE = (
    Stage(
        name="order",
        party="auditor",
        meter="order",
        counter="ordered",
        unit="requests",
        reached="gauge_sequence",
        waited=("order_wait_ms_sum", "order_wait_count", "request to order"),
    ),
    Stage(
        name="commit",
        party="ledger",
        meter="commit",
        counter="committed",
        unit="requests",
        reached="gauge_sequence",
        after="order",
        waited=("commit_ms_sum", "batches", "order to commit"),
    ),
    Stage(
        name="validate",
        party="auditor",
        meter="validate",
        counter="decided",
        unit="requests",
        reached="gauge_decided",
        after="commit",
        waited=("decide_ms_sum", "decisions", "order to decision"),
    ),
    Stage(
        name="learn",
        party="learner",
        meter="learn",
        counter="gauge_sequence",
        unit="batches",
        reached="gauge_sequence",
        after="validate",
    ),
    Stage(
        name="views",
        party="views",
        meter="views",
        counter="shown",
        unit="requests",
        reached="gauge_sequence",
        after="learn",
    ),
)


def replica_stage(index: int) -> Stage:
    """The stage of a replica."""
    return Stage(
        name=f"replica-{index}",
        party="learner",
        meter="replica",
        counter="updates",
        unit="batches",
        reached="gauge_sequence",
        after="validate",
    )


def role_of(stage: Stage) -> str:
    """The role whose process runs a stage."""
    return stage.name if stage.name.startswith("replica-") else stage.party


class LagClock:
    """How far each stage is behind, and for how long it has not moved, as far as it was looked at.

    A process that was started again says where it is only when it has done something. Until then what came since is all
    that is known of how far it is behind: with nothing to do it is not.
    """

    def __init__(self) -> None:
        self._since: dict[str, tuple[int | None, int]] = {}
        self._begun: dict[str, tuple[str, int]] = {}

    def lag(self, name: str, instance: str, sequence: int | None, before: int) -> int | None:
        """How many sequences a stage is behind the one before it; None if that cannot be told.

        Args:
            instance: its process.
            sequence: where it is, None if it has not said so yet.
            before: where the stage before it is.
        """
        if sequence is not None:
            return max(0, before - sequence)
        known, begun = self._begun.get(name, ("", before))
        if known != instance or before < begun:
            begun = before
        self._begun[name] = (instance, begun)
        return before - begun or None

    def stuck_ms(self, name: str, sequence: int | None, lag: int | None, now_ms: int) -> int:
        """Look at a stage: where it is, and how far behind."""
        if not lag:
            self._since.pop(name, None)
            return 0
        reached, since_ms = self._since.get(name, (sequence, now_ms))
        if reached != sequence:
            since_ms = now_ms
        self._since[name] = (sequence, since_ms)
        return now_ms - since_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class StageView:
    """A stage at one moment.

    Attributes:
        history: of its process; None if that has never been heard of.
        sequence: the last one it has done.
        lag: how many sequences it is behind the stage before it, as far as is known; None if that cannot be told.
        stuck_ms: for how long it has been behind without moving; 0 if it is not.
    """

    stage: Stage
    history: ProcessHistory | None
    state: State
    sequence: int | None
    lag: int | None
    stuck_ms: int

    def measure(self, name: str) -> float | None:
        """A measure of this stage."""
        return self.history.value(f"{self.stage.meter}.{name}") if self.history else None

    def rate(self, name: str) -> float | None:
        """The rate of a counter of this stage."""
        return self.history.rate(f"{self.stage.meter}.{name}") if self.history else None

    def curve(self, name: str) -> list[float | None]:
        """A counter of this stage, from second to second."""
        return self.history.curve(f"{self.stage.meter}.{name}") if self.history else []

    def snapshot(self) -> dict[str, Any]:
        """For the page."""
        stage, history = self.stage, self.history
        waited: dict[str, Any] | None = None
        if stage.waited is not None:
            total, count, label = (*(f"{stage.meter}.{name}" for name in stage.waited[:2]), stage.waited[2])
            waited = {"label": label, "mean_ms": history.mean(total, count) if history else None}
        return {
            "name": stage.name,
            "party": stage.party,
            "state": self.state,
            "unit": stage.unit,
            "rate": self.rate(stage.counter),
            "curve": self.curve(stage.counter),
            "sequence": self.sequence,
            "lag": self.lag,
            "waited": waited,
            "busy": _busy(stage, history) if history else {},
        }


def view_stages(processes: Processes, replicas: int, clock: LagClock, now_ms: int) -> dict[str, StageView]:
    """Every stage at this moment, by name, each with its lag behind the one before it."""
    views: dict[str, StageView] = {}
    for stage in (*LINE[:3], *(replica_stage(index) for index in range(replicas)), *LINE[3:]):
        history = processes.active(role_of(stage))
        value = history.value(f"{stage.meter}.{stage.reached}") if history else None
        sequence = None if value is None else int(value)
        before = views[stage.after].sequence if stage.after else None
        lag = None
        if history is not None and before is not None:
            lag = clock.lag(stage.name, history.instance, sequence, before)
        views[stage.name] = StageView(
            stage=stage,
            history=history,
            state=state_of(history, stage.meter, now_ms),
            sequence=sequence,
            lag=lag,
            stuck_ms=clock.stuck_ms(stage.name, sequence, lag, now_ms),
        )
    return views


def state_of(history: ProcessHistory | None, meter: str, now_ms: int) -> State:
    """How a stage is: a halt is its own last word, silence is ours."""
    if history is None:
        return "absent"
    if halts_of(history, meter):
        return "halted"
    return "silent" if now_ms - history.seen_ms > SILENT_MS else "live"


def halts_of(history: ProcessHistory, meter: str = "") -> list[str]:
    """The codes with which a process's stages halted, or one of them; each once, for they halt together."""
    return sorted(
        {
            name.partition(".halted.")[2]
            for name, count in history.values.items()
            if ".halted." in name and count and name.startswith(meter)
        }
    )


def _busy(stage: Stage, history: ProcessHistory) -> dict[str, float]:
    """Which share of a stage's time went to what, of late."""
    shares: dict[str, float] = {}
    for effect, work in WORK.items():
        micros_per_s = history.rate(f"{stage.meter}.{effect}.wall_us")
        if micros_per_s:
            shares[work] = shares.get(work, 0.0) + micros_per_s / 1e6
    return {work: round(min(share, 1.0), 4) for work, share in shares.items()}
