"""Replicas that lie, and parties that lie together later: learners hold on to what was decided, and name who lied."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from learners.blame import BlockEncoder
from learners.dispersal import slice_hash
from protocol.evidence.verdicts import Culprit
from protocol.evidence.verify import verify_evidence
from protocol.hashing import ZERO_HASH
from protocol.signatures import piece_input
from schemas.evidence import Evidence
from schemas.piece import Piece, PieceHeader
from storage.effects import Outgoing
from tests.attacks.lies import take_back
from tests.attacks.line import Line
from tests.gallery.hanging import A, alter_outcome, engine
from tests.parties import key_of

LIAR = 2
Lie = Callable[[Line, Piece], Iterable[bytes]]


def serve(line: Line) -> None:
    """Two blocks of requests."""
    for turn in range(8):
        line.put("a", turn)
    line.run(10_000)


def sign_again(line: Line, piece: Piece, header: PieceHeader, slice_: bytes) -> bytes:
    """A piece with another header, under the liar's real key."""
    data = header.to_bytes()
    signature = key_of(f"replica {LIAR}").sign(piece_input(line.epochs.ledger_id, 0, data))
    return replace(piece, header=data, slice=slice_, signature=signature).to_message()


def corrupt(line: Line, piece: Piece) -> Iterable[bytes]:
    """A slice of something else, and a header that fits it."""
    slice_ = bytes((piece.slice[0] ^ 1,)) + piece.slice[1:]
    header = PieceHeader.from_bytes(piece.header)
    yield sign_again(line, piece, replace(header, slice_hash=slice_hash(slice_)), slice_)


def equivocate(line: Line, piece: Piece) -> Iterable[bytes]:
    """The true piece, and another one for the same place."""
    yield piece.to_message()
    yield from corrupt(line, piece)


def replay(line: Line, piece: Piece) -> Iterable[bytes]:
    """The first block's piece, and again in every later one's place."""
    first = line.values(f"pieces.{LIAR}")
    yield first[0] if first else piece.to_message()


def withhold(_line: Line, _piece: Piece) -> Iterable[bytes]:
    """Nothing."""
    return ()


@pytest.mark.parametrize(
    ("lie", "named"),
    [(corrupt, True), (equivocate, True), (replay, False), (withhold, False)],
    ids=["corrupt", "equivocating", "replayed", "withheld"],
)
def test_a_lying_replica_costs_nothing_and_is_named(lie: Lie, named: bool) -> None:
    """With evidence, where it signed something false; silence and old messages show as lag."""
    line = Line(learns=True)

    def bend(message: Outgoing) -> Iterable[Outgoing]:
        for value in lie(line, Piece.from_message(message.value)):
            yield message._replace(value=value)

    line.stages[f"replica {LIAR}"].bend = bend
    serve(line)
    assert line.halts() == {}
    assert len(line.views.requests) == 8
    assert line.named() == ({Culprit("replica", LIAR)} if named else set())
    for value in line.values("evidence"):
        evidence = Evidence.body_of(value)
        offline = BlockEncoder.of_evidence(evidence, line.epochs.ledger_id)
        verdict = verify_evidence(evidence, line.epochs.ledger_id, engine(), dispersal=offline)
        assert verdict.culprit == Culprit("replica", LIAR), "the file alone is enough"
        assert BlockEncoder.of_evidence(evidence, bytes(32)) is None
    lag = line.stages["learner"].measures[f"gauge_lag_{LIAR}"]
    assert lag > 0 or named


def test_history_rewritten_by_both_together_is_not_learned() -> None:
    """Replicas and learners hold the decided blocks: a doubly signed other past changes nothing in them."""
    line = Line(learns=True)
    serve(line)
    line.check_honest()
    learned, versions = list(line.views.requests), list(line.views.versions)
    for sequence, decision in line.decisions().items():
        if decision.outcomes:
            outcomes = alter_outcome(decision.outcomes, 0, output_hash=ZERO_HASH)
            result = line.clients.restate(line.results()[sequence], outcomes)
            order = line.orders()[sequence]
            signed = line.clients.endorse(result.statement, order, result, decision.signed.salt)
            line.send("decisions", replace(decision, signed=signed, outcomes=outcomes).to_message())
    for party in (line.auditor, line.ledger):
        take_back(party, A, 1)
    pieces = [line.values(f"pieces.{index}") for index in range(4)]
    for name in ("replica 0", "replica 1", "replica 2", "replica 3", "learner"):
        line.stages[name].crash()
    line.run(20_000)
    assert (line.views.requests, line.views.versions) == (learned, versions)
    assert [list(dict.fromkeys(line.values(f"pieces.{index}"))) for index in range(4)] == pieces
    assert line.named() <= {Culprit("auditor"), Culprit("ledger")}


def test_two_doubly_signed_histories_convict_the_parties_and_no_replica() -> None:
    """Replicas 0 and 1 are given one history, 2 and 3 another: no learner takes both.

    Two histories need two orders, whose signer is the Auditor. The Ledger may have been given both, with its store and
    guard lost in between, so it is excused.
    """
    lines = [Line(learns=True), Line(learns=True)]
    for number, line in enumerate(lines):
        line.put("a", number)
        line.put("b", 1)
        line.run(10_000)
        line.check_honest()
    first, second = lines
    assert first.decisions()[0].signed.statement != second.decisions()[0].signed.statement
    judge = Line(learns=True)
    for name, stage in judge.stages.items():
        stage.stopped = name != "learner"
    for index in range(4):
        for value in (first if index < 2 else second).values(f"pieces.{index}"):
            judge.send(f"pieces.{index}", value)
    judge.run()
    assert judge.views.requests == []
    assert judge.stages["learner"].halt is not None
    assert judge.halts() == {"learner": "evidence.raised"}
    assert judge.named() == {Culprit("auditor")}
