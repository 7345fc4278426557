"""The text for Prometheus: every line of it is one, whatever names processes give their measures."""

import re

from protocol.evidence.verdicts import LEDGER, Finding, Verdict
from schemas.feed import Measure, Metrics
from streams.dashboard.board import Board, LedgerFacts
from streams.dashboard.exposition import exposition
from streams.dashboard.exposures import JudgedEvidence
from tests.measures import REPLICAS, MeasuredLine

FACTS = LedgerFacts(ledger_id=bytes(32), epoch=0, n=REPLICAS, b=1, c=0, k=3, window=64)
LABEL = r'[a-z]+="(?:[^"\\\n]|\\["\\n])*"'
LINE = re.compile(
    rf"# (?:HELP|TYPE) countersign_\w+ .+|countersign_\w+(?:\{{{LABEL}(?:,{LABEL})*\}})? -?[0-9.e+-]+"
)


def scraped(board: Board, now_ms: int) -> list[str]:
    return exposition(board.snapshot(now_ms), board.measures(now_ms)).splitlines()


def test_every_line_is_of_the_format() -> None:
    """A working line, a conviction, and names that try to break out of their label."""
    board = Board(FACTS, 0)
    line = MeasuredLine()
    for second in range(1, 5):
        for metrics in line.say(1_000 * second):
            board.take_metrics(metrics, 1_000 * second)
    verdict = Verdict(finding=Finding.GUILTY, culprit=LEDGER)
    board.take_evidence(JudgedEvidence(kind="execution", verdict=verdict, evidence_hash=b"", at_ms=0))
    nasty = Measure('a"} 1\nevil_metric{x="\\', 1.5)
    board.take_metrics(Metrics(role="client", instance='"\n\\', at_ms=1, values=(nasty,)), 4_000)
    lines = scraped(board, 4_000)
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert not any(line.startswith("evil") for line in lines)
    assert 'countersign_exposed{culprit="ledger",kind="execution"} 1' in lines
    assert 'countersign_stage_lag{stage="commit"} 0' in lines
    assert 'countersign_suspected{kind="silence"} 0' in lines
    assert 'countersign_measure{role="ledger",instance="pid of ledger",name="commit.batches"} 40.0' in lines


def test_each_metric_is_described_once() -> None:
    """HELP and TYPE come once, before the points; an empty board is scraped too."""
    described = [line.split()[2] for line in scraped(Board(FACTS, 0), 0) if line.startswith("# TYPE")]
    assert len(described) == len(set(described)) > 5
