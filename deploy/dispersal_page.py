"""The page of what dispersal costs, made of the raw results in `benchmarks/results`: `make docs` writes it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

_RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
_Row = Mapping[str, Any]

_INTRODUCTION = """\
What [dispersal](dispersal.md) costs, of the raw results in `benchmarks/results`. Bytes, messages and decodings are exact and
the same on every run; speeds are CPU time of one thread on a shared machine. `sent` and `received` are bytes as the paper
counts them, `other` is what signatures and framing add to a message.
"""


def measured_page(generated: str) -> str:
    """The page.

    Args:
        generated: the remark that nobody is to edit it.
    """
    bench = _load("dispersal.json")
    synthetic = [row for row in bench["rows"] if row["updates"] == "synthetic"]
    decisions = [row for row in bench["rows"] if row["updates"] == "decisions"]
    parts = [
        "# Dispersal, measured",
        "",
        generated.strip(),
        "",
        _INTRODUCTION,
        f"Measured at {bench['commit']}, {bench['machine']['cores']} cores, Python {bench['machine']['python']}.",
        "",
        *_section("Bytes: updates of 256 bytes", _bytes(synthetic)),
        *_section("Decodings under the worst attack", _decodes(synthetic)),
        *_section("Speed: updates of 256 bytes, MB/s without signatures", _speeds(synthetic)),
        *_section("Real decisions of 100 requests, through the whole machines", _decisions(decisions)),
        *_topics(bench["topics"]),
        *_section("Pull and push: 20 learners, 5 of them more flood", _pull(_load("pull_learner.json")["rows"])),
        *_section("Checkpoints in a cluster whose primary lies", _checkpoints(_load("checkpoints.json")["rows"])),
    ]
    return "\n".join(parts)


def _load(name: str) -> Any:
    return orjson.loads((_RESULTS / name).read_bytes())


def _section(title: str, table: Iterable[str]) -> list[str]:
    return [f"## {title}", "", *table, ""]


def _table(columns: Mapping[str, Callable[[_Row], object]], rows: Iterable[_Row]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", "|" + "---:|" * len(columns)]
    for row in rows:
        lines.append(f"| {' | '.join(_text(cell(row)) for cell in columns.values())} |")
    return lines


def _text(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int | float) else str(cell)


def _per_block(name: str) -> Callable[[_Row], object]:
    return lambda row: row[name] // row["blocks"]


def _field(name: str) -> Callable[[_Row], object]:
    return lambda row: row[name]


def _whole(name: str) -> Callable[[_Row], object]:
    return lambda row: round(row[name])


def _bytes(rows: Sequence[_Row]) -> list[str]:
    columns = {
        "n": _field("n"),
        "checksum": _field("checksum"),
        "updates in a block": _field("block_updates"),
        "sent per replica and block": _per_block("sent_per_replica_bytes"),
        "expected": _per_block("expected_sent_bytes"),
        "bound of 3.2": _per_block("sent_bound_bytes"),
        "received per block": _per_block("received_bytes"),
        "expected ": _per_block("expected_received_bytes"),
        "copies": _field("received_copies"),
        "other per message": lambda row: (row["framing_bytes"] + row["signature_bytes"]) // row["blocks"],
    }
    return _table(columns, [row for row in rows if row["attack"] == "none"])


def _decodes(rows: Sequence[_Row]) -> list[str]:
    columns = {
        "n": _field("n"),
        "checksum": _field("checksum"),
        "updates in a block": _field("block_updates"),
        "attack": _field("attack"),
        "liars at once": _field("liars"),
        "blocks": _field("blocks"),
        "decodings of all": _field("decodes"),
        "most for one block": _field("decodes_most"),
        "bound": _field("decodes_per_block_max"),
    }
    return _table(columns, [row for row in rows if row["attack"] != "none"])


def _speeds(rows: Sequence[_Row]) -> list[str]:
    columns = {
        "n": _field("n"),
        "checksum": _field("checksum"),
        "attack": _field("attack"),
        "updates in a block": _field("block_updates"),
        "replica": _whole("replica_unsigned_mb_per_second"),
        "of sha256": _field("replica_of_sha256"),
        "us per block": _whole("replica_step_us"),
        "learner": _whole("learner_unsigned_mb_per_second"),
        "of sha256 ": _field("learner_of_sha256"),
        "us per block ": _whole("learner_step_us"),
        "sha256": _whole("sha256_mb_per_second"),
    }
    return _table(columns, rows)


def _decisions(rows: Sequence[_Row]) -> list[str]:
    columns = {
        "n": _field("n"),
        "checksum": _field("checksum"),
        "attack": _field("attack"),
        "liars": _field("liars"),
        "bytes of an update": _field("update_bytes"),
        "sent per replica and block": _per_block("sent_per_replica_bytes"),
        "expected": _per_block("expected_sent_bytes"),
        "copies with everything": _field("wire_copies"),
        "most decodings": _field("decodes_most"),
        "replica MB/s": _whole("replica_mb_per_second"),
        "learner MB/s": _whole("learner_mb_per_second"),
    }
    return _table(columns, rows)


def _topics(topics: _Row) -> list[str]:
    return [
        "## On the real topics",
        "",
        f"A real broker, n = {topics['n']}, {topics['checksum']} checksum, {topics['requests_decided']:,} requests in"
        f" {topics['updates']:,} updates: a learner received {topics['received_bytes']:,} bytes with everything,"
        f" **{topics['copies']} copies** of a journal of {topics['journal_bytes']:,} bytes, and decoded"
        f" {topics['decodes']:,} times for {topics['blocks']:,} blocks.",
        "",
    ]


def _pull(rows: Sequence[_Row]) -> list[str]:
    columns = {
        "n": _field("n"),
        "design": _field("design"),
        "scenario": _field("scenario"),
        "copies sent by the busiest replica": _field("worst_replica_copies"),
        "of the mean": _field("worst_over_mean"),
        "its messages": _field("worst_replica_messages"),
        "copies received by a learner": _field("learner_copies"),
    }
    return _table(columns, rows)


def _checkpoints(rows: Sequence[_Row]) -> list[str]:
    columns = {
        "n": _field("n"),
        "way": _field("way"),
        "in the dark": _field("in_the_dark"),
        "liars": _field("lie"),
        "messages sent by the busiest": _field("sent_messages_most"),
        "copies sent by the busiest": _field("sent_copies_most"),
        "of the mean": _field("sent_most_over_mean"),
        "copies received": _field("received_copies_most"),
        "most decodings": _field("decodes_most"),
        "bound": _field("decodes_bound"),
    }
    return _table(columns, rows)
