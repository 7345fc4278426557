"""Who is suspected, and of what: silence, lag, alarms, halts, a learner's word. None of it proves anything.

A process that ended as it was told to is as silent as one that was cut off, so silence accuses nobody.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from protocol.errors import ERRORS
from streams.dashboard.exposures import Exposures
from streams.dashboard.pipeline import SILENT_MS, StageView, halts_of, role_of
from streams.dashboard.processes import ProcessHistory

ALARM_MS = 60_000
"""For how long an alarm is shown after it was last raised."""

_OVER_MS = 5_000
"""What goes on is raised again within this time."""

STUCK_MS = 10_000
_PATIENCE_MS = 10_000
"""What has not been heard of since we began to listen is not missed before."""

_ALARMS = {
    "alarm_tail_lost": "log.tail_lost",
    "restarts": "store.lost_call",
    "waits_for_older": "rebuild.waits_for_older",
}
"""Measures that are alarms under another name than `alarm.CODE`."""

_MEANINGS = {
    "log.tail_lost": "The broker lost the end of a topic; what was in it is sent again.",
    "rebuild.waits_for_older": "Neither `decisions` nor replicas have what the store needs next: bring replicas back.",
    "store.lost_call": "The store failed within a call; the stage began anew from what is stored.",
}
"""Alarms that are no errors, so the table of codes does not have them."""


class Suspicion(NamedTuple):
    """Something a person should look at.

    Attributes:
        who: a role, or "broker".
        kind: "silence", "lag", "alarm", "halt", "clock" or "blame".
    """

    who: str
    kind: str
    text: str


def suspicions(
    stages: Mapping[str, StageView],
    processes: Iterable[ProcessHistory],
    exposures: Exposures,
    *,
    away_ms: int,
    listening_ms: int,
    now_ms: int,
    skew_ms: int,
) -> list[Suspicion]:
    """Everything that is suspected at this moment.

    Args:
        stages: of the pipeline.
        processes: all that are listed.
        exposures: who is exposed is not suspected of the same.
        away_ms: for how long the broker has not answered.
        listening_ms: for how long we have listened.
        now_ms: our time.
        skew_ms: how far clocks may be apart.
    """
    processes = list(processes)
    found = list(_alarms(processes, now_ms))
    found += _clocks(processes, stages["order"], skew_ms)
    found += _blame(stages, exposures)
    if away_ms > SILENT_MS:
        # Whoever is asked through the broker is silent too: that says nothing about them.
        text = f"has not answered for {seconds(away_ms)}; nothing new is known of anybody"
        return [Suspicion("broker", "silence", text), *found]
    found += _silence(stages, listening_ms, now_ms)
    found += _lag(stages)
    return found


def _clocks(processes: Iterable[ProcessHistory], order: StageView, skew_ms: int) -> Iterator[Suspicion]:
    """Whose clock is wrong, and a ledger whose time a wrong clock has put forward: requests are rejected then."""
    for history in processes:
        if abs(history.ahead_ms) > skew_ms:
            apart = f"{seconds(abs(history.ahead_ms))} {'ahead of' if history.ahead_ms > 0 else 'behind'} the broker's"
            text = f"its clock is {apart}: set the one of the two that is wrong; {seconds(skew_ms)} are allowed"
            yield Suspicion(history.role, "clock", text)
    ordered_at_ms = order.measure("gauge_ordered_at_ms")
    forward_ms = 0 if order.history is None or ordered_at_ms is None else int(ordered_at_ms) - order.history.said_ms
    if forward_ms > skew_ms:
        text = f"it has ordered at a time that is {seconds(forward_ms)} ahead of its clock, which was wrong then"
        yield Suspicion("auditor", "clock", f"{text}: until that time, requests are rejected as expired")


def _lag(stages: Mapping[str, StageView]) -> Iterator[Suspicion]:
    for name, view in stages.items():
        if view.lag and view.stuck_ms > STUCK_MS and view.state == "live":
            text = f"{name} is {view.lag} batches behind, and has not moved for {seconds(view.stuck_ms)}"
            yield Suspicion(role_of(view.stage), "lag", text)


def _silence(stages: Mapping[str, StageView], listening_ms: int, now_ms: int) -> Iterator[Suspicion]:
    told = set()
    for view in stages.values():
        role = role_of(view.stage)
        if role in told:
            continue
        told.add(role)
        if view.history is None:
            if listening_ms > _PATIENCE_MS and role != "views":
                yield Suspicion(role, "silence", f"not heard of for {seconds(listening_ms)}")
        elif view.state == "silent" and not halts_of(view.history):
            silent_ms = now_ms - view.history.seen_ms
            yield Suspicion(role, "silence", f"has said nothing for {seconds(silent_ms)}")


def _alarms(processes: Iterable[ProcessHistory], now_ms: int) -> Iterator[Suspicion]:
    for history in processes:
        for code in halts_of(history):
            yield Suspicion(history.role, "halt", f"halted: {explained(code)}")
        if now_ms - history.seen_ms > ALARM_MS:
            continue
        for name in history.values:
            stage, _, what = name.partition(".")
            code = _ALARMS.get(what, what.removeprefix("alarm.") if what.startswith("alarm.") else "")
            if code and history.growth(name, ALARM_MS):
                over_ms = history.unchanged_ms(name) + now_ms - history.seen_ms
                ago = f" Last raised {seconds(over_ms)} ago." if over_ms > _OVER_MS else ""
                yield Suspicion(history.role, "alarm", f"{stage}: {explained(code)}{ago}")


def _blame(stages: Mapping[str, StageView], exposures: Exposures) -> Iterator[Suspicion]:
    """Whom the learner blames without evidence that was verified here."""
    learner = stages["learn"]
    for name in stages:
        index = name.removeprefix("replica-")
        if index == name or exposures.exposes(f"replica {index}"):
            continue
        if learner.measure(f"gauge_blamed_{index}"):
            yield Suspicion(name, "blame", "the learner says that it lies; no evidence was verified here yet")
        elif learner.measure(f"wrong_{index}") or learner.measure(f"misconfigured_{index}"):
            yield Suspicion(name, "blame", "the learner got pieces from it that do not fit")


def explained(code: str) -> str:
    """A code with what it means."""
    meaning = ERRORS[code].message if code in ERRORS else _MEANINGS.get(code)
    return f"{code}: {meaning}" if meaning else code


def seconds(ms: int) -> str:
    """A time for people."""
    return f"{ms // 1000} s" if ms < 120_000 else f"{ms // 60_000} min"
