"""The board: lag, latency and load per stage, who is suspected of what, and who is exposed."""

import json
import math
from typing import Any

import orjson
import pytest

from protocol.evidence.verdicts import LEDGER, Culprit, Finding, Verdict
from schemas.feed import Measure, Metrics
from streams.dashboard.board import Board, LedgerFacts
from streams.dashboard.exposures import JudgedEvidence
from streams.dashboard.pipeline import WORK
from streams.metrics import ProcessMetrics
from tests.measures import BATCHES_PER_S, REPLICAS, REQUESTS_PER_S, MeasuredLine

FACTS = LedgerFacts(ledger_id=bytes(range(32)), epoch=0, n=REPLICAS, b=1, c=0, k=3, window=64)
START_MS = 1_800_000_000_000


class Watched:
    """A board over a measured line, and its time."""

    def __init__(self) -> None:
        self.line = MeasuredLine()
        self.now_ms = START_MS
        self.board = Board(FACTS, START_MS)

    def run(self, seconds: int, look: bool = False) -> dict[str, Any]:
        """Let seconds pass; `look` at the board in each."""
        for _ in range(seconds):
            self.now_ms += 1_000
            for metrics in self.line.say(self.now_ms):
                self.board.take_metrics(metrics, self.now_ms)
            if look:
                self.snapshot()
        return self.snapshot()

    def snapshot(self) -> dict[str, Any]:
        return self.board.snapshot(self.now_ms)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def suspected(shown: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["who"], each["kind"]) for each in shown["suspected"]]


def convicted(culprit: Culprit, kind: str) -> JudgedEvidence:
    verdict = Verdict(finding=Finding.GUILTY, culprit=culprit, explanation="why")
    return JudgedEvidence(kind=kind, verdict=verdict, evidence_hash=bytes(32), at_ms=START_MS)


def test_a_line_that_works(watched: Watched) -> None:
    """Every stage is live with its rate, lag, wait and load; nobody is suspected; all of it is JSON."""
    shown = json.loads(json.dumps(watched.run(20), allow_nan=False))
    stages = shown["stages"]
    assert {name: stage["state"] for name, stage in stages.items()} == dict.fromkeys(stages, "live")
    replicas = [f"replica-{index}" for index in range(REPLICAS)]
    assert set(stages) == {"order", "commit", "validate", "learn", "views", *replicas}
    for name in ("order", "commit", "validate", "views"):
        assert stages[name]["rate"] == pytest.approx(REQUESTS_PER_S)
    assert stages["learn"]["rate"] == pytest.approx(BATCHES_PER_S)
    waits = {name: stages[name]["waited"]["mean_ms"] for name in ("order", "commit", "validate")}
    assert waits == pytest.approx({"order": 8, "commit": 12, "validate": 30})
    assert [stages[name]["lag"] for name in ("order", "commit", "replica-3", "views")] == [None, 0, 0, 0]
    assert stages["order"]["busy"] == {"verify": 0.1, "execute": 0.1, "store": 0.1, "decide": 0.1}
    assert shown["flows"]["requests"] == pytest.approx(REQUESTS_PER_S)
    assert shown["flows"]["pieces"] == pytest.approx(BATCHES_PER_S)
    assert (shown["requests"]["undecided"], shown["learner"]["learned_p50_ms"]) == (3, 45)
    assert shown["processes"][0]["role"] == "auditor"
    assert shown["processes"][0]["cpu"] == pytest.approx(0.25)
    assert shown["suspected"] == []
    assert shown["evidence"]["exposed"] == []


def test_before_anybody_speaks(watched: Watched) -> None:
    """An empty board is a page too; after some patience, who says nothing is missed, but for the views."""
    assert watched.snapshot()["suspected"] == []
    watched.now_ms += 11_000
    roles = ["auditor", "ledger", "replica-0", "replica-1", "replica-2", "replica-3", "learner"]
    assert suspected(watched.snapshot()) == [(role, "silence") for role in roles]


def test_silence_is_suspected_and_proves_nothing(watched: Watched) -> None:
    """A process that says nothing is suspected after five seconds; it is never exposed by that."""
    watched.run(10)
    watched.line.silent.add("replica-1")
    assert suspected(watched.run(5)) == []
    shown = watched.run(1)
    assert suspected(shown) == [("replica-1", "silence")]
    assert shown["suspected"][0]["text"] == "has said nothing for 6 s"
    assert shown["replicas"][1]["state"] == "silent"
    assert shown["evidence"]["exposed"] == []


def test_when_the_broker_is_away_nobody_else_is_suspected(watched: Watched) -> None:
    """Everybody is silent then, and that is not their doing."""
    watched.run(10)
    watched.line.silent.update(("auditor", "ledger", "learner"))
    watched.run(30)
    watched.board.take_reachability(20_000)
    assert suspected(watched.snapshot()) == [("broker", "silence")]
    assert not watched.board.is_healthy(watched.now_ms)


def test_who_was_started_again_and_has_nothing_to_do_is_not_behind(watched: Watched) -> None:
    """It says where it is only when it has done something. What comes meanwhile, it is behind."""
    reached = 9.0 * BATCHES_PER_S
    watched.line.more["auditor"] = {"order.gauge_sequence": reached, "validate.gauge_decided": reached}
    watched.line.without["ledger"] = {"commit.gauge_sequence"}
    shown = watched.run(20, look=True)
    assert (shown["stages"]["commit"]["sequence"], shown["stages"]["commit"]["lag"]) == (None, None)
    assert suspected(shown) == []
    watched.line.more["auditor"] = {"order.gauge_sequence": reached + 3, "validate.gauge_decided": reached}
    shown = watched.run(15, look=True)
    assert shown["stages"]["commit"]["lag"] == 3
    assert suspected(shown) == [("ledger", "lag")]


@pytest.mark.parametrize("hears_itself", [True, False])
def test_a_broker_that_hangs_is_named_and_nobody_else(watched: Watched, hears_itself: bool) -> None:
    """It keeps its connections, so nobody calls it away. But our own measures do not come back from it either."""

    def say() -> None:
        own = Metrics(role="dashboard", instance="1", at_ms=watched.now_ms, values=())
        watched.board.take_metrics(own, watched.now_ms)

    say()
    watched.run(3)
    watched.line.silent.update(watched.line._values())
    for _ in range(6):
        watched.run(1)
        if hears_itself:
            say()
    shown = watched.snapshot()
    found = suspected(shown)
    if hears_itself:  # then it works, and everybody else is silent
        assert ("auditor", "silence") in found
        assert ("broker", "silence") not in found
    else:
        assert found == [("broker", "silence")]
    assert watched.board.is_healthy(watched.now_ms) is hears_itself
    assert (shown["broker_away_ms"] == 0) is hears_itself


def test_a_stage_that_stands_still_behind_another_lags(watched: Watched) -> None:
    """Being behind is no suspicion as long as it moves; standing still behind somebody is."""
    watched.run(10)
    reached = 10.0 * BATCHES_PER_S - 1
    watched.line.more["ledger"] = {"commit.gauge_sequence": reached}
    watched.line.more["auditor"] = {"validate.gauge_decided": reached}
    shown = watched.run(8, look=True)
    assert shown["stages"]["commit"]["lag"] == 8 * BATCHES_PER_S
    assert shown["stages"]["validate"]["lag"] == 0, "it has done all there is to do"
    assert suspected(shown) == []
    shown = watched.run(6, look=True)
    assert suspected(shown) == [("ledger", "lag")]
    assert "commit is 140 batches behind" in shown["suspected"][0]["text"]
    for _ in range(12):  # far behind, but it moves
        reached += 1
        watched.line.more["ledger"] = {"commit.gauge_sequence": reached}
        watched.line.more["auditor"] = {"validate.gauge_decided": reached}
        shown = watched.run(1, look=True)
    assert suspected(shown) == []


def test_after_a_quiet_time_nobody_lags(watched: Watched) -> None:
    """The first batch after hours of nothing makes no stage look stuck, though none moved for so long."""
    watched.run(5)
    watched.now_ms += 3_600_000
    watched.line.more["ledger"] = {"commit.gauge_sequence": 5.0 * BATCHES_PER_S - 1}
    assert suspected(watched.run(1, look=True)) == []


def test_alarms_and_halts_are_shown_with_their_meaning(watched: Watched) -> None:
    """An alarm as long as it is fresh, a halt as long as nobody took over."""
    watched.run(5)
    watched.line.more["ledger"] = {"commit.alarm.broker.unreachable": 1, "commit.restarts": 2}
    watched.line.more["auditor"] = {"validate.halted.evidence.raised": 1, "validate.alarm_tail_lost": 1}
    shown = watched.run(2)
    texts = {(each["who"], each["kind"]): each["text"] for each in shown["suspected"]}
    assert "evidence.raised: The other party was found at fault" in texts["auditor", "halt"]
    assert texts["auditor", "alarm"].startswith("validate: log.tail_lost: The broker lost")
    ledger = [each["text"] for each in shown["suspected"] if each["who"] == "ledger"]
    assert ledger == [
        "commit: broker.unreachable: The broker does not answer.",
        "commit: store.lost_call: The store failed within a call; the stage began anew from what is stored.",
    ]
    assert shown["stages"]["validate"]["state"] == "halted"
    assert shown["stages"]["order"]["state"] == "live"
    assert shown["evidence"]["exposed"] == [], "a party's own word exposes nobody"
    assert "Last raised" not in texts["ledger", "alarm"]
    later = watched.run(20)
    assert any(each["text"].endswith("Last raised 21 s ago.") for each in later["suspected"] if each["who"] == "ledger")
    assert ("ledger", "alarm") not in suspected(watched.run(41)), "the counter stands still: it is over"


def test_a_machine_that_came_to_its_good_end_did_not_halt(watched: Watched) -> None:
    """The Ledger's rebuilding machine ends at every start; one that halted is told once, and not missed."""
    watched.line.more["ledger"] = {"rebuild.ended.store.rebuilt": 1}
    assert suspected(watched.run(3)) == []
    watched.line.more["auditor"] = {"order.halted.evidence.raised": 1, "validate.halted.evidence.raised": 1}
    watched.run(1)
    watched.line.silent.add("auditor")
    assert suspected(watched.run(9)) == [("auditor", "halt")]


@pytest.mark.parametrize(
    ("ahead_ms", "said"), [(300_000, ""), (300_001, "5 min ahead of"), (-3_600_000, "60 min behind")]
)
def test_a_clock_that_is_wrong_is_named(watched: Watched, ahead_ms: int, said: str) -> None:
    """Against the broker's, and beyond what the ledger allows: no message that is late looks like it."""
    for metrics in watched.line.say(START_MS + ahead_ms):
        late = metrics.role == "ledger"
        watched.board.take_metrics(metrics, START_MS, START_MS if late else START_MS + ahead_ms)
    shown = watched.board.snapshot(START_MS)["suspected"]
    assert [(each["who"], each["kind"]) for each in shown] == ([("ledger", "clock")] if said else [])
    assert all(f"its clock is {said} the broker's" in each["text"] for each in shown)


def test_a_ledger_whose_time_was_put_forward_says_why_it_rejects(watched: Watched) -> None:
    """The clock is right again; what was ordered stays ordered, until that time has come."""
    watched.line.more["auditor"] = {"order.gauge_ordered_at_ms": START_MS + 310_000}
    (told,) = watched.run(2)["suspected"]
    assert (told["who"], told["kind"]) == ("auditor", "clock")
    assert "5 min ahead of its clock" in told["text"]
    assert suspected(watched.run(8)) == [], "it is within what is allowed, though nothing was ordered since"


def test_a_rebuild_that_waits_for_replicas_says_so(watched: Watched) -> None:
    """It is no halt, and would look like idleness."""
    watched.run(5)
    watched.line.more["ledger"] = {"rebuild.waits_for_older": 3}
    (told,) = watched.run(1)["suspected"]
    assert (told["who"], told["kind"]) == ("ledger", "alarm")
    assert "bring replicas back" in told["text"]


def test_a_replica_is_blamed_until_it_is_exposed(watched: Watched) -> None:
    """The learner's word makes it suspected; evidence makes it exposed, and no longer suspected."""
    watched.run(5)
    watched.line.more["learner"] = {"learn.gauge_blamed_2": 1, "learn.wrong_2": 7, "learn.wrong_3": 1}
    shown = watched.run(2)
    assert suspected(shown) == [("replica-2", "blame"), ("replica-3", "blame")]
    assert [each["blamed"] for each in shown["replicas"]] == [None, None, "suspected", "suspected"]
    watched.board.take_evidence(convicted(Culprit("replica", 2), "replica"))
    shown = watched.snapshot()
    assert suspected(shown) == [("replica-3", "blame")]
    assert shown["replicas"][2]["blamed"] == "exposed"
    assert shown["evidence"]["exposed"][0]["culprit"] == "replica 2"


def test_evidence_and_rubbish_are_apart(watched: Watched) -> None:
    """What convicts names its culprit; rubbish on the topics is counted, and shows nowhere else."""
    watched.board.take_evidence(convicted(LEDGER, "execution"))
    watched.board.take_metrics(None, START_MS)
    watched.board.take_metrics(Metrics(role="intruder", instance="", at_ms=0, values=()), START_MS)
    watched.board.take_decision(None, START_MS)
    shown = watched.snapshot()
    assert shown["evidence"]["exposed"][0]["culprit"] == "ledger"
    assert shown["foreign_metrics"] == 2
    assert shown["decisions"]["skipped"] == 1
    assert shown["processes"] == []


def test_hostile_metrics_break_no_page(watched: Watched) -> None:
    """Absurd values, of a role that exists: still a snapshot, still JSON."""
    names = ("order.gauge_sequence", "order.ordered", "process.cpu_us", "order.halted.", "order.alarm.x")
    for value in (math.nan, math.inf, 1e300, -1e300, 2.0**64, -(2.0**63), 2.0**53):
        for at_ms in (-(2**62), 0, 2**62):
            values = tuple(Measure(name, value) for name in names)
            metrics = Metrics(role="auditor", instance="\x00<b>", at_ms=at_ms, values=values)
            watched.board.take_metrics(metrics, START_MS)
            shown = watched.run(2)
            json.dumps(shown, allow_nan=False)
            orjson.dumps(shown)


def test_real_processes_use_the_names_that_are_looked_for() -> None:
    """What `streams.metrics` publishes of a process and its stage is what the board reads."""
    real = ProcessMetrics("auditor", "1")
    meter = real.meter("order")
    meter.took("Verify", 0.25, 0.2)
    names = {name for name, _ in real.snapshot(0).values}
    assert {"process.cpu_us", "process.children_cpu_us", "process.rss_bytes", "process.threads"} <= names
    assert "order.Verify.wall_us" in names
    assert "Verify" in WORK
