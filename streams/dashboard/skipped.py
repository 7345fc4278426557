"""Messages that a stage has read and taken nothing from: how many, on which topic, and what to do about it.

Each process counts its own, since it was started. Whoever may write to a topic can raise any of these figures, so they
make nobody suspected. But nobody else tells the sender of such a message, who waits.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.topics import DECISIONS, EVIDENCE, LEARNED, METRICS, ORDERS, REQUESTS, RESULTS
from streams.dashboard.pipeline import StageView, role_of

LATE_MS = 60_000
"""How far back "of late" goes."""

_OTHER_WRITERS = "Somebody else writes to this topic: see who may (docs/topics.md)."


class _Counter(NamedTuple):
    """A measure that counts such messages.

    Attributes:
        stage: whose measure it is; the replicas read the same, so the largest of theirs counts.
        measure: its name.
        topic: where the messages are.
        what, remedy: for people.
    """

    stage: str
    measure: str
    topic: str
    what: str
    remedy: str


_COUNTERS = (
    _Counter(
        "order",
        "skipped",
        REQUESTS,
        "no requests at all, and their senders are told nothing",
        "A request is a message of the schema Envelope, and begins with its ten bytes of framing "
        "(docs/wire-formats.md); a producer of your own must put them in front.",
    ),
    _Counter(
        "order",
        "unanswered",
        REQUESTS,
        "of nobody who is known here, and too many to be answered",
        "Their senders sign as an entity that is not registered, with another key, or for another ledger.",
    ),
    _Counter("commit", "skipped", ORDERS, "not signed by the Auditor", _OTHER_WRITERS),
    _Counter("validate", "skipped", RESULTS, "no results that the Ledger signed", _OTHER_WRITERS),
    _Counter("replica", "skipped", DECISIONS, "no decisions that both parties signed", _OTHER_WRITERS),
    _Counter("learn", "skipped", "pieces", "no pieces that their replica signed, or altered ones", _OTHER_WRITERS),
    _Counter("views", "skipped", LEARNED, "not of this ledger's learner", _OTHER_WRITERS),
    _Counter(
        "learn",
        "evidence_too_large",
        EVIDENCE,
        "evidence that is longer than a message may be, and was not published",
        "The learner's blame names the replica.",
    ),
)


def skipped_messages(stages: Mapping[str, StageView], foreign_metrics: int) -> list[dict[str, Any]]:
    """All such messages, one entry for each kind, none where there are none.

    Args:
        stages: of the pipeline.
        foreign_metrics: messages on `metrics` that are of nobody here.

    Returns:
        `who` read them, `topic`, `what` they are, `messages` since that process was started, `late` those of the last
        minute, and `text` for people.
    """
    found = []
    for counter in _COUNTERS:
        counted = [
            (int(view.measure(counter.measure) or 0), view)
            for name, view in stages.items()
            if name.partition("-")[0] == counter.stage
        ]
        messages, view = max(counted, key=lambda each: each[0])
        if messages > 0 and view.history is not None:
            late = int(view.history.growth(f"{view.stage.meter}.{counter.measure}", LATE_MS))
            found.append(_entry(role_of(view.stage), counter, messages, late))
    if foreign_metrics:
        counter = _Counter("", "", METRICS, "no measures of a role of this ledger", _OTHER_WRITERS)
        found.append(_entry("dashboard", counter, foreign_metrics, None))
    return found


def _entry(who: str, counter: _Counter, messages: int, late: int | None) -> dict[str, Any]:
    counted = "1 message is" if messages == 1 else f"{messages} messages are"
    since = "" if late is None else f" ({late} of them in the last minute)"
    text = f"{counted} {counter.what}{since}. {counter.remedy}"
    return {
        "who": who,
        "topic": counter.topic,
        "what": counter.what,
        "messages": messages,
        "late": late,
        "text": text,
    }
