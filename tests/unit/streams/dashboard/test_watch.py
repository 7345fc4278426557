"""What the watches bring onto the board: only what both parties signed, and only verdicts of the verifier."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from learners.blame import BlockEncoder
from protocol.configuration import Epochs
from protocol.evidence import build
from schemas.statement import Decision
from schemas.topics import DECISIONS, EVIDENCE, METRICS
from storage.effects import Outgoing
from streams.clock import now_ms
from streams.dashboard.board import Board, LedgerFacts
from streams.dashboard.evidence_watch import EvidenceWatch
from streams.dashboard.watch import LogWatch
from streams.evidence_judge import EvidenceJudge
from streams.log import LogStartLostError, LogUnavailableError
from streams.memory_log import MemoryLog
from streams.stop_signal import StopSignal
from tests.gallery import GALLERY
from tests.gallery.hanging import contradiction, started
from tests.gallery.places import refuse
from tests.measures import MeasuredLine
from tests.worlds import World


class Watched:
    """A log in memory, and a board on which two watches bring what they see of it."""

    def __init__(self, epochs: Epochs) -> None:
        self.log = MemoryLog({DECISIONS: 1, EVIDENCE: 1, METRICS: 1})
        self.board = Board(LedgerFacts.of(epochs), now_ms())
        stop = StopSignal()
        judge = EvidenceJudge(epochs, BlockEncoder(epochs))
        self.watch = LogWatch(self.log.reader(), epochs, self.board, stop)
        self.evidence_watch = EvidenceWatch(self.log.reader(), judge, self.board, stop)
        self._writer = self.log.writer()

    def write(self, topic: str, *values: bytes) -> None:
        self._writer.send([Outgoing(topic, 0, None, value) for value in values])
        assert self._writer.flush(1_000)

    def snapshot(self) -> dict[str, Any]:
        return self.board.snapshot(now_ms())


def decisions(world: World, count: int) -> list[Decision]:
    return [world.decide(world.put("a", number), world.put("b", number)) for number in range(count)]


def messages(made: Sequence[Decision]) -> list[bytes]:
    return [decision.to_message() for decision in made]


def forge(decision: Decision, **changes: bytes) -> bytes:
    return replace(decision, signed=decision.signed._replace(**changes)).to_message()


def test_only_what_both_parties_signed_is_decided() -> None:
    """Decisions that lack one of three signatures, of another ledger, and rubbish are skipped and counted."""
    world = World()
    good = decisions(world, 3)
    (foreign,) = decisions(World(b"another"), 1)
    bad = [
        b"",
        b"rubbish",
        good[2].to_message()[:100],
        forge(good[2], order_signature=bytes(64)),
        forge(good[2], ledger_signature=bytes(64)),
        forge(good[2], auditor_signature=good[2].signed.ledger_signature),
        forge(good[2], salt=bytes(32)),
        foreign.to_message(),
    ]
    watched = Watched(world.epochs)
    watched.watch.begin()
    watched.write(DECISIONS, *messages(good[:2]), *bad)
    watched.watch.look()
    shown = watched.snapshot()["decisions"]
    assert (shown["sequence"], shown["skipped"]) == (1, len(bad))
    watched.write(DECISIONS, good[2].to_message())
    watched.watch.look()
    shown = watched.snapshot()["decisions"]
    assert [(each["sequence"], each["count"]) for each in shown["newest"]] == [(2, 2), (1, 2), (0, 2)]
    assert (shown["skipped"], shown["conflicts"]) == (len(bad), 0)


def test_the_last_decisions_before_the_start_are_shown() -> None:
    """A page that is opened on a quiet ledger is not empty."""
    world = World()
    watched = Watched(world.epochs)
    watched.write(DECISIONS, *messages(decisions(world, 3)), b"rubbish")
    watched.watch.begin()
    assert [each["sequence"] for each in watched.snapshot()["decisions"]["newest"]] == [2, 1, 0]


def test_metrics_come_onto_the_board() -> None:
    """Everybody's; rubbish is counted."""
    watched = Watched(World().epochs)
    watched.watch.begin()
    watched.write(METRICS, b"rubbish", *(metrics.to_message() for metrics in MeasuredLine().say(now_ms())))
    watched.watch.look()
    shown = watched.snapshot()
    assert {stage["state"] for stage in shown["stages"].values()} == {"live"}
    assert shown["foreign_metrics"] == 1


def test_clocks_are_compared_with_the_broker_s() -> None:
    """With the time at which it appended the message; ours says nothing, for we may read it late."""
    watched = Watched(World().epochs)
    watched.watch.begin()
    hour_ms = 3_600_000
    watched.log.advance(now_ms())
    watched.write(METRICS, *(metrics.to_message() for metrics in MeasuredLine().say(now_ms() - hour_ms)))
    watched.watch.look()
    assert "ledger" in {each["who"] for each in watched.snapshot()["suspected"] if each["kind"] == "clock"}


def test_a_log_that_forgot_what_was_not_read() -> None:
    """A machine that slept for longer than metrics are kept begins again with those of now."""
    watched = Watched(World().epochs)
    watched.watch.begin()
    watched.write(METRICS, b"forgotten", b"forgotten")
    watched.log.expire(METRICS, 0, 2)
    with pytest.raises(LogStartLostError):
        watched.watch.look()
    watched.watch.begin()
    watched.write(METRICS, *(metrics.to_message() for metrics in MeasuredLine().say(now_ms())))
    watched.watch.look()
    assert watched.snapshot()["processes"]


def test_a_log_that_is_away() -> None:
    """Nothing is placed, and the board says for how long nothing has been known."""
    watched = Watched(World().epochs)
    watched.log.away = True
    with pytest.raises(LogUnavailableError):
        watched.watch.begin()
    watched.log.away = False
    watched.watch.begin()
    watched.log.away = True
    watched.watch.look()
    watched.log.advance(9_000)
    watched.watch.look()
    assert watched.snapshot()["broker_away_ms"] == 9_000


@pytest.mark.parametrize(
    "name", ["two_orders", "wrong_output_of_the_ledger", "wrong_output_of_the_auditor", "false_accusation"]
)
def test_evidence_convicts_only_through_the_verifier(name: str) -> None:
    """Real evidence names its culprit; rubbish, evidence of another ledger, and evidence that lacks a part
    name nobody. What is written again is judged once, by who begins anew too."""
    exhibit = GALLERY[name]()
    evidence = exhibit.evidence
    rubbish = [
        b"",
        b"rubbish",
        evidence.to_bytes(),  # without its frame
        replace(evidence, ledger_id=bytes(32)).to_message(),
        replace(evidence, parts=evidence.parts[:-1]).to_message(),
    ]
    watched = Watched(exhibit.epochs)
    watched.write(EVIDENCE, *rubbish)
    watched.evidence_watch.begin()
    watched.evidence_watch.look()
    shown = watched.snapshot()["evidence"]
    assert (shown["exposed"], shown["judged"], shown["waiting"]) == ([], len(rubbish), 0)
    assert sum(shown["unproven"].values()) == len(rubbish)
    watched.write(EVIDENCE, evidence.to_message(), *rubbish, evidence.to_message())
    watched.evidence_watch.look()
    watched.evidence_watch.begin()
    watched.evidence_watch.look()
    shown = watched.snapshot()["evidence"]
    (exposed,) = shown["exposed"]
    assert (exposed["culprit"], exposed["finding"]) == (str(exhibit.culprit), str(exhibit.finding))
    assert (exposed["kind"], exposed["pieces"], shown["judged"]) == (evidence.kind, 1, len(rubbish) + 1)


@pytest.mark.parametrize(("is_true", "culprit"), [(True, "auditor"), (False, "ledger")])
def test_a_refusal_is_judged_by_what_it_attaches(is_true: bool, culprit: str) -> None:
    """With a proof it exposes the Auditor, without one its signer; one that nobody signed exposes nobody."""
    world = started()
    order, _ = world.order(world.request("object.get", {"key": "a"}, after=2 if is_true else 0))
    proof = contradiction(world, "order.not_after", entry=build.entry_part(order, 0)).evidence
    refused = refuse(world, order, "order.not_after", proof)
    unsigned = replace(refused, signature=bytes(64), attachments=())
    watched = Watched(world.epochs)
    watched.write(EVIDENCE, unsigned.to_message(), refused.to_message())
    watched.evidence_watch.begin()
    watched.evidence_watch.look()
    shown = watched.snapshot()["evidence"]
    assert [each["culprit"] for each in shown["exposed"]] == [culprit]
    assert shown["judged"] == 2
