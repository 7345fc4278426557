"""A replica is named for what it signed about a block, and for nothing else.

Encoding a block is the learners'; here a stand-in says what an honest replica would have signed.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from protocol.evidence import build
from protocol.evidence.ports import Made
from protocol.evidence.verdicts import Culprit, Finding, NothingProvenError, Verdict
from protocol.evidence.verify import verify_evidence
from protocol.hashing import ZERO_HASH, tagged
from protocol.signatures import piece_input, statement_hash
from schemas.epoch import Configuration
from schemas.piece import Piece, PieceHeader
from schemas.statement import Countersigned, Statement
from tests.gallery.hanging import started
from tests.parties import key_of
from tests.worlds import World

BLOCK = b"the block"


def header_of(world: World, index: int) -> PieceHeader:
    """What an honest replica signs."""
    return PieceHeader(
        format=1,
        ledger_id=world.ledger_id,
        epoch=0,
        block=0,
        first_sequence=0,
        count=2,
        n=4,
        k=3,
        codec="zfec",
        checksum="tree",
        block_length=len(BLOCK),
        piece_index=index,
        previous_block_root=ZERO_HASH,
        root=tagged("block", BLOCK),
        path=(),
        slice_hash=tagged("slice", bytes((index,))),
        last_statement_hash=statement_hash(world.decisions[1].signed.statement),
    )


class StandIn:
    """A port that knows one block."""

    def __init__(self, world: World) -> None:
        self.world = world

    def expected(
        self, claimed: PieceHeader, block: bytes, last: Statement, configuration: Configuration
    ) -> PieceHeader:
        if block != BLOCK:
            raise NothingProvenError("another block")
        return header_of(self.world, claimed.piece_index)

    def made_of(
        self, pieces: Sequence[tuple[PieceHeader, bytes]], last: Statement, configuration: Configuration
    ) -> Made:
        raise AssertionError("nobody decodes here")


def verdict_on(
    world: World,
    header: PieceHeader,
    *,
    signer: str = "replica 2",
    last: Countersigned | None = None,
    block: bytes = BLOCK,
    able: bool = True,
) -> Verdict:
    """The verdict on a piece that a replica signed."""
    signature = key_of(signer).sign(piece_input(world.ledger_id, 0, header.to_bytes()))
    piece = Piece(header=header.to_bytes(), signature=signature, slice=b"", last=last or world.decisions[1].signed)
    evidence = build.replica(world.epochs, piece.to_bytes(), block).to_bytes()
    return verify_evidence(evidence, world.ledger_id, dispersal=StandIn(world) if able else None)


def test_another_root_convicts_its_replica() -> None:
    """Any field that does not follow from the block."""
    world = started()
    for changes in ({"root": ZERO_HASH}, {"slice_hash": ZERO_HASH}, {"path": (ZERO_HASH,)}, {"block_length": 1}):
        verdict = verdict_on(world, replace(header_of(world, 2), **changes))
        assert (verdict.finding, verdict.culprit) == (Finding.GUILTY, Culprit("replica", 2))


def test_an_honest_piece_convicts_nobody() -> None:
    """The piece is the block's."""
    world = started()
    assert verdict_on(world, header_of(world, 2)).finding is Finding.NOTHING


@pytest.mark.parametrize("signer", ["replica 1", "auditor", "nobody"])
def test_nobody_signs_for_another_replica(signer: str) -> None:
    """A bad piece under another's number."""
    world = started()
    false = replace(header_of(world, 2), root=ZERO_HASH)
    assert verdict_on(world, false, signer=signer).finding is Finding.NOTHING


def test_what_falls_short_names_no_replica() -> None:
    """Another last statement, one that is not signed by both, another block, no such replica, no encoder."""
    world = started()
    false = replace(header_of(world, 2), root=ZERO_HASH)
    other = replace(false, last_statement_hash=ZERO_HASH)
    half = world.decisions[1].signed._replace(ledger_signature=bytes(64))
    assert verdict_on(world, other).finding is Finding.NOTHING
    assert verdict_on(world, false, last=world.decisions[0].signed).finding is Finding.NOTHING
    assert verdict_on(world, false, last=half).finding is Finding.NOTHING
    assert verdict_on(world, false, block=b"another").finding is Finding.NOTHING
    assert verdict_on(world, replace(false, piece_index=9)).finding is Finding.NOTHING
    for index in (-1, 4):  # neither the last one, counted from the end, nor one that is not there
        assert verdict_on(world, replace(false, piece_index=index), signer="replica 3").finding is Finding.NOTHING
    assert verdict_on(world, false, able=False).finding is Finding.CANNOT_JUDGE


def test_a_replica_that_is_configured_otherwise_is_no_liar() -> None:
    """A24: other numbers, codec or checksum than its epoch says: nothing is proved, whatever else it signed."""
    world = started()
    for changes in ({"n": 5}, {"k": 2}, {"codec": "other"}, {"checksum": "simple"}):
        false = replace(header_of(world, 2), root=ZERO_HASH, **changes)
        assert verdict_on(world, false).finding is Finding.NOTHING
    newer = replace(header_of(world, 2), root=ZERO_HASH, format=2)
    assert verdict_on(world, newer).finding is Finding.CANNOT_JUDGE


@pytest.mark.parametrize("left", [2, 3, 4])
def test_a_replica_that_is_no_longer_there(left: int) -> None:
    """Its key has been given up, be it the first one of those that left or not: the key is named."""
    world = started()
    false = replace(header_of(world, 2), root=ZERO_HASH)
    keys = world.epochs.latest.replica_keys[:left]
    world.begin_epoch(replica_keys=keys, n=left, k=left, b=0)
    verdict = verdict_on(world, false)
    expected = Finding.GUILTY if left > 2 else Finding.KEY
    assert (verdict.finding, verdict.culprit) == (expected, Culprit("replica", 2))
