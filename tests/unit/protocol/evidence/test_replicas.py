"""Roots that replicas signed: whom they convict, and how many lies an epoch allows before nobody is named.

Encoding and decoding are the learners'; here a stand-in says what slices give.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from protocol.evidence import build, kinds
from protocol.evidence.ports import Made
from protocol.evidence.verdicts import REPLICAS, Culprit, Finding, NothingProvenError, Verdict
from protocol.evidence.verify import verify_evidence
from protocol.hashing import ZERO_HASH, tagged
from protocol.signatures import piece_input, statement_hash
from schemas.epoch import Configuration
from schemas.piece import Piece, PieceHeader
from schemas.statement import Statement
from tests.parties import key_of
from tests.worlds import World

ROOT, OTHER, THIRD = (tagged("block", bytes((number,))) for number in range(3))
N, B, K = 7, 2, 5
Claims = Callable[[Sequence[int]], Made]


class StandIn:
    """A port that says of some replicas' slices what it was told."""

    def __init__(self, claims: Claims) -> None:
        self.claims = claims
        self.asked: list[list[int]] = []

    def expected(self, *_: object) -> PieceHeader:
        raise AssertionError("nobody encodes here")

    def made_of(
        self, pieces: Sequence[tuple[PieceHeader, bytes]], last: Statement, configuration: Configuration
    ) -> Made:
        assert len(pieces) == configuration.k
        self.asked.append([header.piece_index for header, _ in pieces])
        return self.claims(self.asked[-1])


class Dispersed:
    """A ledger with two decided blocks of one update each, and what its replicas sign about them."""

    def __init__(self, n: int = N, b: int = B, k: int = K, checksum: str = "tree") -> None:
        self.world = world = World()
        keys = tuple(key_of(f"replica {number}").public_key for number in range(n))
        self.form: dict[str, Any] = {"n": n, "k": k, "checksum": checksum}
        world.begin_epoch(replica_keys=keys, b=b, c=n - b - k, **self.form)
        self.decisions = [world.decide(world.put("a", number)) for number in range(2)]

    def piece(self, replica: int, at: int = 0, signer: str = "", **changes: Any) -> bytes:
        """A piece of block `at` as this replica signs it."""
        data = bytes((replica,))
        signed = self.decisions[at].signed
        header = PieceHeader(
            format=1,
            ledger_id=self.world.ledger_id,
            epoch=1,
            block=at,
            first_sequence=at,
            count=1,
            codec="zfec",
            block_length=100,
            piece_index=replica,
            previous_block_root=ROOT if at else ZERO_HASH,
            root=OTHER if at else ROOT,
            path=(),
            slice_hash=tagged("slice", data),
            last_statement_hash=statement_hash(signed.statement),
            **self.form,
        )
        header = replace(header, **changes)
        signature = key_of(signer or f"replica {replica}").sign(
            piece_input(self.world.ledger_id, header.epoch, header.to_bytes())
        )
        return Piece(header=header.to_bytes(), signature=signature, slice=data, last=signed).to_bytes()

    def judge(self, kind: str, claim: str, parts: Sequence[tuple[str, bytes]], claims: Claims | None = None) -> Verdict:
        """The verdict on such a file."""
        evidence = build.make_evidence(self.world.epochs, kind, parts, claim)
        port = StandIn(claims) if claims else None
        return verify_evidence(evidence.to_bytes(), self.world.ledger_id, dispersal=port)

    def liars(
        self, claim: str, *pieces: bytes, previous: Sequence[bytes] = (), claims: Claims | None = None
    ) -> Finding:
        """The finding on "too many liars", which names nobody."""
        parts = [("piece", data) for data in pieces] + [("previous", data) for data in previous]
        verdict = self.judge(kinds.TOO_MANY_LIARS, claim, parts, claims)
        assert verdict.culprit == (REPLICAS if verdict.finding is Finding.GUILTY else None)
        return verdict.finding

    def roots(self, *counts: int) -> list[bytes]:
        """Pieces of block 0 by as many replicas for each root."""
        roots = [root for root, count in zip((ROOT, OTHER, THIRD), counts, strict=False) for _ in range(count)]
        return [self.piece(replica, root=root) for replica, root in enumerate(roots)]


# --- False blocks ---


def false_block(dispersed: Dispersed, made: Made, *, count: int = K, **changes: dict[str, Any]) -> Verdict:
    """The verdict on `count` pieces of one root that give this; changes by the name "piece" or of a replica."""
    pieces = [dispersed.piece(replica, **changes.get(f"r{replica}", {})) for replica in range(count)]
    parts = [("piece" if replica == 0 else "other", data) for replica, data in enumerate(pieces)]
    return dispersed.judge(kinds.FALSE_BLOCK, "", parts, lambda _: made)


@pytest.mark.parametrize(
    ("checksum", "made", "finding"),
    [
        ("tree", Made.FALSE, Finding.GUILTY),
        ("tree", Made.NOTHING, Finding.GUILTY),
        ("tree", Made.RIGHT, Finding.NOTHING),
        ("simple", Made.FALSE, Finding.GUILTY),
        ("simple", Made.NOTHING, Finding.NOTHING),
        ("simple", Made.RIGHT, Finding.NOTHING),
    ],
)
def test_what_slices_must_give_to_convict(checksum: str, made: Made, finding: Finding) -> None:
    """A tree fixes every slice; under the simple checksum a slice may be wrong where the root is not."""
    verdict = false_block(Dispersed(checksum=checksum), made)
    assert (verdict.finding, verdict.culprit) == (finding, Culprit("replica", 0) if finding is Finding.GUILTY else None)


def test_without_a_checksum_no_root_is_false() -> None:
    """There is nothing that it fixes."""
    assert false_block(Dispersed(b=0, k=K, checksum="none"), Made.FALSE).finding is Finding.NOTHING


@pytest.mark.parametrize("count", [K - 1, K + 1])
def test_a_false_block_takes_exactly_k_pieces(count: int) -> None:
    """With fewer there is no block, and one more would be superfluous."""
    assert false_block(Dispersed(), Made.FALSE, count=count).finding is Finding.NOTHING


@pytest.mark.parametrize(
    "changes",
    [
        {"root": OTHER},
        {"block": 1},
        {"first_sequence": 1},
        {"count": 2},
        {"block_length": 99},
        {"previous_block_root": ROOT},
        {"slice_hash": ZERO_HASH},
        {"at": 1, "block": 0, "first_sequence": 0, "previous_block_root": ZERO_HASH, "root": ROOT},
        {"piece_index": 2, "signer": "replica 2", "slice_hash": tagged("slice", b"\1")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_pieces_say_the_same_of_one_block(changes: dict[str, Any]) -> None:
    """And are of distinct replicas, each with the slice that it signed: one that does not belong proves nothing."""
    verdict = false_block(Dispersed(), Made.FALSE, r1=changes)
    assert verdict.finding is Finding.NOTHING


def test_one_piece_is_accused() -> None:
    """Two of them would be two accusations in one file."""
    dispersed = Dispersed()
    parts = [("piece", dispersed.piece(0)), ("piece", dispersed.piece(1))]
    parts += [("other", dispersed.piece(replica)) for replica in range(2, K)]
    assert dispersed.judge(kinds.FALSE_BLOCK, "", parts, lambda _: Made.FALSE).finding is Finding.NOTHING


def test_no_verifier_without_a_port() -> None:
    """Whoever cannot decode does not judge."""
    dispersed = Dispersed()
    parts = [("piece", dispersed.piece(0))] + [("other", dispersed.piece(replica)) for replica in range(1, K)]
    assert dispersed.judge(kinds.FALSE_BLOCK, "", parts).finding is Finding.CANNOT_JUDGE
    assert dispersed.liars("no block", *[dispersed.piece(replica) for replica in range(N)]) is Finding.CANNOT_JUDGE


def test_a_piece_is_of_the_epoch_of_its_last_statement() -> None:
    """A block does not cross an epoch: a header of another epoch than its statement's is of no block."""
    dispersed = Dispersed()
    world = dispersed.world
    before = world.epochs.latest
    world.begin_epoch(replica_keys=before.replica_keys, b=before.b, c=before.c, **dispersed.form)
    pieces = [dispersed.piece(replica, epoch=2) for replica in range(K)]
    parts = [("piece" if replica == 0 else "other", data) for replica, data in enumerate(pieces)]
    assert dispersed.judge(kinds.FALSE_BLOCK, "", parts, lambda _: Made.FALSE).finding is Finding.NOTHING


# --- Too many roots ---


@pytest.mark.parametrize(
    ("counts", "finding"),
    [
        ((7,), Finding.NOTHING),
        ((5, 2), Finding.NOTHING),  # two liars, as the epoch allows
        ((4, 3), Finding.GUILTY),  # more than two on either side
        ((3, 3), Finding.GUILTY),
        ((3, 2), Finding.NOTHING),  # the two who are silent may be honest
        ((2, 2), Finding.NOTHING),
        ((4, 2, 1), Finding.GUILTY),  # none of the roots can have five
        ((2, 2, 2), Finding.GUILTY),
        ((2, 2, 1), Finding.GUILTY),
        ((5, 1, 1), Finding.NOTHING),
        ((3, 1, 1), Finding.NOTHING),
        ((1,), Finding.NOTHING),
    ],
    ids=str,
)
def test_roots_that_cannot_be_of_honest_replicas(counts: tuple[int, ...], finding: Finding) -> None:
    """Two roots of more than `b` each, or none that `k` can have signed, with those who are silent."""
    dispersed = Dispersed()
    assert dispersed.liars("roots", *dispersed.roots(*counts)) is finding


def test_roots_are_of_distinct_replicas_for_one_block() -> None:
    """A replica twice, another block, another range of sequences, nothing at all."""
    dispersed = Dispersed()
    pieces = dispersed.roots(4, 2)
    assert dispersed.liars("roots", *pieces) is Finding.NOTHING
    twice = dispersed.piece(5, root=THIRD)
    assert dispersed.liars("roots", *pieces, twice) is Finding.NOTHING
    assert dispersed.liars("roots", *pieces, dispersed.piece(6, root=OTHER)) is Finding.GUILTY
    for field in ("block", "first_sequence", "count"):
        other: dict[str, Any] = {"root": OTHER, field: 9}
        assert dispersed.liars("roots", *pieces, dispersed.piece(6, **other)) is Finding.NOTHING, field
    later = dispersed.piece(6, 1, block=0, first_sequence=0, root=OTHER)
    assert dispersed.liars("roots", *pieces, later) is Finding.NOTHING, "another last statement"
    assert dispersed.liars("roots") is Finding.NOTHING


def test_a_key_that_was_given_up_judges_nobody() -> None:
    """Whoever has it now may have signed."""
    dispersed = Dispersed()
    pieces = dispersed.roots(4, 3)
    keys = tuple(key_of(f"replica {number}" if number else "new").public_key for number in range(N))
    dispersed.world.begin_epoch(replica_keys=keys, b=B, c=0, **dispersed.form)
    assert dispersed.liars("roots", *pieces) is Finding.CANNOT_JUDGE
    assert dispersed.liars("roots", *pieces[1:]) is Finding.GUILTY


# --- No block ---


def test_no_choice_of_pieces_gives_the_block() -> None:
    """Every `k` of `k + b`, or more; a single choice that gives it acquits."""
    dispersed = Dispersed()
    pieces = [dispersed.piece(replica) for replica in range(N)]
    for made in (Made.FALSE, Made.NOTHING):
        assert dispersed.liars("no block", *pieces, claims=lambda _, made=made: made) is Finding.GUILTY  # type: ignore[misc]
    last = [N - 5 + number for number in range(5)]
    found = dispersed.liars("no block", *pieces, claims=lambda chosen: Made.RIGHT if chosen == last else Made.FALSE)
    assert found is Finding.NOTHING
    assert dispersed.liars("no block", *pieces[1:], claims=lambda _: Made.FALSE) is Finding.NOTHING


def test_no_block_of_one_root() -> None:
    """Another root among them, or a slice that was not signed."""
    dispersed = Dispersed()
    for field, value in (("root", OTHER), ("slice_hash", ZERO_HASH)):
        changes: dict[str, Any] = {field: value}
        pieces = [dispersed.piece(replica, **(changes if replica == 3 else {})) for replica in range(N)]
        assert dispersed.liars("no block", *pieces, claims=lambda _: Made.FALSE) is Finding.NOTHING


def test_too_many_choices_are_not_tried() -> None:
    """So that a file costs no more than it may; one that has fewer is judged."""
    for n, b, k, finding in ((16, 5, 11, Finding.GUILTY), (18, 8, 10, Finding.CANNOT_JUDGE)):
        dispersed = Dispersed(n=n, b=b, k=k)
        pieces = [dispersed.piece(replica) for replica in range(n)]
        asked: list[Sequence[int]] = []

        def nothing(chosen: Sequence[int], asked: list[Sequence[int]] = asked) -> Made:
            asked.append(chosen)
            return Made.NOTHING

        assert dispersed.liars("no block", *pieces, claims=nothing) is finding
        assert len({tuple(chosen) for chosen in asked}) == (4368 if finding is Finding.GUILTY else 0)


def test_a_block_that_cannot_be_described_proves_nothing() -> None:
    """The port says that no such block ends in its statement."""
    dispersed = Dispersed()

    def refuse(_: Sequence[int]) -> Made:
        raise NothingProvenError("no such block")

    pieces = [dispersed.piece(replica) for replica in range(N)]
    assert dispersed.liars("no block", *pieces, claims=refuse) is Finding.NOTHING


# --- Chains ---


def chain(dispersed: Dispersed, later: Sequence[bytes], earlier: Sequence[bytes]) -> Finding:
    """The finding on the pieces of two blocks."""
    return dispersed.liars("chain", *later, previous=earlier)


def test_a_block_that_does_not_continue_the_one_before() -> None:
    """More than `b` name a root before, which more than `b` did not give; fewer may all be liars."""
    dispersed = Dispersed()
    later = [dispersed.piece(replica, 1, previous_block_root=THIRD) for replica in range(N)]
    earlier = [dispersed.piece(replica) for replica in range(N)]
    assert chain(dispersed, later[:3], earlier[4:]) is Finding.GUILTY
    assert chain(dispersed, later[:2], earlier) is Finding.NOTHING
    assert chain(dispersed, later, earlier[:2]) is Finding.NOTHING
    honest = [dispersed.piece(replica, 1) for replica in range(N)]
    assert chain(dispersed, honest, earlier) is Finding.NOTHING
    assert chain(dispersed, [], earlier) is Finding.NOTHING
    assert chain(dispersed, later, []) is Finding.NOTHING


def test_a_chain_is_of_two_neighbours_with_one_root_each() -> None:
    """Not of one block twice, nor of two that others lie between, nor of several roots."""
    dispersed = Dispersed()
    later = [dispersed.piece(replica, 1, previous_block_root=THIRD) for replica in range(4)]
    earlier = [dispersed.piece(replica) for replica in range(4)]
    assert chain(dispersed, later, earlier) is Finding.GUILTY
    assert chain(dispersed, earlier, later) is Finding.NOTHING
    assert chain(dispersed, later, later) is Finding.NOTHING
    further = [dispersed.piece(replica, 1, block=2, previous_block_root=THIRD) for replica in range(4)]
    assert chain(dispersed, further, earlier) is Finding.NOTHING
    assert chain(dispersed, [*later[:3], dispersed.piece(3, 1)], earlier) is Finding.NOTHING
    assert chain(dispersed, later, [*earlier[:3], dispersed.piece(3, root=OTHER)]) is Finding.NOTHING
