"""The snapshot and every measure in Prometheus's text format, version 0.0.4.

Names and labels come from unsigned messages: what no label may hold is escaped, and the names of measures
stand in a label, never in a metric's name.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]
Point = tuple[Labels, float]


class Family(NamedTuple):
    """All points of one metric."""

    name: str
    type: str
    help: str
    points: list[Point]


def exposition(snapshot: Mapping[str, Any], measures: Iterable[tuple[str, str, Mapping[str, float]]]) -> str:
    """The text that Prometheus scrapes.

    Args:
        snapshot: of the board.
        measures: role, instance and last measures of every process.
    """
    families = [
        *_ledger(snapshot),
        *_stages(snapshot["stages"]),
        *_findings(snapshot),
        Family(
            "countersign_measure",
            "untyped",
            "What a process measured of itself; streams.metrics has names and units.",
            [
                ({"role": role, "instance": instance, "name": name}, value)
                for role, instance, values in measures
                for name, value in values.items()
            ],
        ),
    ]
    return "".join(line + "\n" for family in families for line in _lines(family))


def _ledger(snapshot: Mapping[str, Any]) -> Iterator[Family]:
    decisions = snapshot["decisions"]
    newest: list[Point] = [({}, decisions["sequence"])]
    yield Family("countersign_sequence", "gauge", "Newest sequence that both parties signed.", newest)
    quantiles = (("0.5", decisions["p50_ms"]), ("0.99", decisions["p99_ms"]))
    yield Family(
        "countersign_decision_milliseconds",
        "gauge",
        "From order to decision, over the last minute.",
        [({"quantile": quantile}, value) for quantile, value in quantiles if value is not None],
    )
    yield Family(
        "countersign_requests_per_second",
        "gauge",
        "Requests decided per second.",
        [({}, decisions["requests_per_s"])],
    )
    yield Family(
        "countersign_broker_away_milliseconds",
        "gauge",
        "For how long the broker has not answered.",
        [({}, snapshot["broker_away_ms"])],
    )


def _stages(stages: Mapping[str, Mapping[str, Any]]) -> Iterator[Family]:
    def points(field: str) -> list[Point]:
        return [({"stage": name}, stage[field]) for name, stage in stages.items() if stage[field] is not None]

    yield Family("countersign_stage_sequence", "gauge", "Last sequence a stage has done.", points("sequence"))
    yield Family("countersign_stage_lag", "gauge", "Sequences behind the stage before it.", points("lag"))
    live: list[Point] = [
        ({"stage": name}, float(stage["state"] == "live")) for name, stage in stages.items()
    ]
    yield Family("countersign_stage_live", "gauge", "1 if a stage's process speaks and has not halted.", live)


def _findings(snapshot: Mapping[str, Any]) -> Iterator[Family]:
    evidence = snapshot["evidence"]
    exposed: list[Point] = [
        ({"culprit": each["culprit"], "kind": each["kind"]}, each["pieces"]) for each in evidence["exposed"]
    ]
    yield Family(
        "countersign_exposed",
        "gauge",
        "Pieces of evidence that convict somebody, by culprit and kind.",
        exposed,
    )
    yield Family(
        "countersign_evidence_unproven",
        "gauge",
        "Messages on the topic of evidence that convict nobody, by finding.",
        [({"finding": finding}, count) for finding, count in evidence["unproven"].items()],
    )
    kinds = ("silence", "lag", "alarm", "halt", "clock", "blame")
    counts = {kind: sum(each["kind"] == kind for each in snapshot["suspected"]) for kind in kinds}
    yield Family(
        "countersign_suspected",
        "gauge",
        "What is suspected at this moment, and proves nothing.",
        [({"kind": kind}, count) for kind, count in counts.items()],
    )
    skipped: list[Point] = [
        ({"reader": each["who"], "topic": each["topic"], "what": each["what"]}, each["messages"])
        for each in snapshot["skipped"]
    ]
    yield Family(
        "countersign_skipped",
        "gauge",
        "Messages that nothing was taken from, since their reader was started.",
        skipped,
    )


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.type}"
    for labels, value in family.points:
        inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        yield f"{family.name}{{{inside}}} {value}" if inside else f"{family.name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
