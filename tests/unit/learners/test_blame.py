"""Evidence against a replica: it convicts the liar, and cannot be turned against an honest one."""

from dataclasses import replace

import pytest

from learners.blame import REPLICA as REPLICA_HERE
from learners.blame import TWO_STATEMENTS as TWO_STATEMENTS_HERE
from learners.blame import BlockEncoder, accuse_many
from learners.blocks import BlockRanges
from learners.checksums import disperse
from learners.codec import erasure_code
from learners.dispersal import Dispersal, describe, frame_block
from learners.pieces import OpenedPiece, open_piece
from learners.reconstruction import Claim, MoreLiarsError
from protocol.evidence.kinds import REPLICA, TWO_STATEMENTS
from protocol.evidence.ports import Made
from protocol.evidence.verdicts import Finding, NothingProvenError
from protocol.evidence.verify import verify_evidence
from protocol.hashing import ZERO_HASH
from protocol.signatures import statement_hash
from schemas.evidence import Evidence, Part
from schemas.piece import Piece, PieceHeader
from schemas.statement import Statement
from schemas.topics import pieces_topic
from tests.unit.learners.cluster import Cluster, Corrupting, MemoryViews
from tests.unit.learners.judgement import LIAR, altered_outputs, decided


def test_kinds_are_those_of_the_verifier() -> None:
    """A learner names them without loading the judges."""
    assert (REPLICA_HERE, TWO_STATEMENTS_HERE) == (REPLICA, TWO_STATEMENTS)


def test_evidence_convicts_only_with_the_true_block() -> None:
    """A third party needs piece, block and genesis; an honest piece or another block proves nothing."""
    cluster = decided()
    cluster.disperse(0, 1, 3)
    cluster.replica(LIAR, Corrupting(cluster.k, cluster.n, LIAR))
    cluster.learn(MemoryViews())
    (data,) = cluster.evidence()
    evidence = Evidence.from_bytes(data)
    assert evidence.kind == REPLICA
    piece, block = evidence.parts
    honest_piece = replace(cluster.pieces(1)[0], slice=b"").to_bytes()
    later_piece = replace(cluster.pieces(LIAR)[1], slice=b"").to_bytes()
    forgeries = [
        (piece._replace(data=honest_piece), block),
        (piece._replace(data=later_piece), block),
        (piece, block._replace(data=block.data[:-1])),
        (piece, block._replace(data=block.data + b"\0")),
        (piece, block._replace(data=cluster.block_bytes(1))),
        (piece, block._replace(data=altered_outputs(cluster))),
        (piece, block._replace(data=b"")),
    ]
    dispersal = BlockEncoder(cluster.epochs)
    for parts in forgeries:
        forged = replace(evidence, parts=parts).to_bytes()
        verdict = verify_evidence(forged, cluster.world.ledger_id, dispersal=dispersal)
        assert verdict.finding is Finding.NOTHING, verdict
    assert verify_evidence(data, cluster.world.ledger_id, dispersal=dispersal).finding is Finding.GUILTY
    assert verify_evidence(data, cluster.world.ledger_id).finding is Finding.CANNOT_JUDGE
    assert verify_evidence(data, ZERO_HASH, dispersal=dispersal).finding is Finding.NOTHING


def test_part_of_a_block_convicts_nobody() -> None:
    """An accuser who cuts a block short, at its front, cannot make an honest piece look wrong."""
    cluster = decided(blocks=1)
    cluster.disperse()
    piece = replace(cluster.pieces(1)[0], slice=b"")
    for first in range(1, 4):
        assert judged(cluster, piece, updates_of(cluster, range(first, 4))) is Finding.NOTHING


def test_updates_across_two_blocks_convict_nobody() -> None:
    """As many updates as a block has, ending where none ends: nobody can say what their pieces should be."""
    cluster = decided(blocks=2)
    statement = cluster.world.decisions[5].signed
    header = replace(cluster.block(1).header(LIAR), last_statement_hash=statement_hash(statement.statement))
    piece = Piece.from_message(cluster.sign_piece(LIAR, header, b"", statement))
    assert judged(cluster, piece, updates_of(cluster, range(2, 6))) is Finding.NOTHING


def updates_of(cluster: Cluster, sequences: range) -> bytes:
    return frame_block([cluster.world.updates[sequence].to_bytes() for sequence in sequences])


def judged(cluster: Cluster, piece: Piece, block: bytes) -> Finding:
    evidence = Evidence(
        format=1,
        ledger_id=cluster.world.ledger_id,
        kind=REPLICA,
        genesis=cluster.epochs.genesis_bytes,
        configurations=cluster.epochs.signed,
        parts=(Part("piece", piece.to_bytes()), Part("block", block)),
    )
    dispersal = BlockEncoder(cluster.epochs)
    return verify_evidence(evidence.to_bytes(), cluster.world.ledger_id, dispersal=dispersal).finding


# --- Slices that are to show a false root ---


def slices_of(cluster: Cluster, made: Dispersal) -> list[tuple[PieceHeader, bytes]]:
    return [(made.header(index), made.slice(index)) for index in range(cluster.k)]


def last_of(cluster: Cluster, sequence: int) -> Statement:
    return Statement.from_bytes(cluster.world.decisions[sequence].signed.statement)


@pytest.mark.parametrize("checksum", ["tree", "simple"])
def test_honest_slices_give_the_block_and_nothing_else(checksum: str) -> None:
    """With its own last statement they are right; with another one, nothing is said of who signed them."""
    cluster = Cluster(checksum=checksum)
    cluster.decide(8)
    encoder, honest = BlockEncoder(cluster.epochs), slices_of(cluster, cluster.block(0))
    assert encoder.made_of(honest, last_of(cluster, 3), cluster.configuration) is Made.RIGHT
    for sequence in (0, 2, 4, 7):
        with pytest.raises(NothingProvenError, match="of this description"):
            encoder.made_of(honest, last_of(cluster, sequence), cluster.configuration)


@pytest.mark.parametrize("checksum", ["tree", "simple"])
def test_whoever_does_not_know_the_next_epoch_convicts_nobody(checksum: str) -> None:
    """An epoch's last block is shorter. An accuser who leaves that out of his evidence must not make it look false."""
    cluster = Cluster(checksum=checksum)
    cluster.decide(6)
    older = cluster.epochs
    cluster.world.epochs = cluster.epochs
    cluster.world.begin_epoch(checksum=checksum)
    know, configuration = cluster.world.epochs, older.latest
    short = BlockRanges(know).of_block(1)
    assert (short.first_sequence, short.last_sequence) == (4, 5)
    data = updates_of(cluster, range(4, 6))
    last = last_of(cluster, 5)
    about = describe(configuration, short, len(data), ZERO_HASH, statement_hash(last.to_bytes()))
    pieces = slices_of(cluster, disperse(about, data, erasure_code(cluster.k, cluster.n)))
    assert BlockEncoder(know).made_of(pieces, last, configuration) is Made.RIGHT
    with pytest.raises(NothingProvenError):
        BlockEncoder(older).made_of(pieces, last, configuration)
    with pytest.raises(NothingProvenError):
        BlockEncoder(older).expected(pieces[0][0], data, last, configuration)


@pytest.mark.parametrize("index", [-1, 4, 2**31])
def test_there_is_no_piece_of_a_replica_that_there_is_not(index: int) -> None:
    """It is said so; nothing is computed for it."""
    cluster = decided(blocks=1)
    claimed = replace(cluster.block(0).header(0), piece_index=index)
    with pytest.raises(NothingProvenError, match="no piece"):
        BlockEncoder(cluster.epochs).expected(
            claimed, cluster.block_bytes(0), last_of(cluster, 3), cluster.configuration
        )


# --- More liars than allowed ---


def opened_pieces(cluster: Cluster, *replicas: int) -> tuple[OpenedPiece, ...]:
    messages = ((index, cluster.log.messages(pieces_topic(index))[0]) for index in replicas)
    return tuple(open_piece(message, index, cluster.epochs) for index, message in messages)


@pytest.mark.parametrize("claim", ["false block", "no block"])
def test_who_signed_the_block_that_both_parties_signed_is_not_accused(claim: Claim) -> None:
    """Its learner refused the block for what is in it: then both parties lied, and honest replicas dispersed it."""
    cluster = decided(blocks=1)
    cluster.disperse()
    encoder = BlockEncoder(cluster.epochs)
    for replicas in ((0, 1, 2), (0, 1, 2, 3), (3, 1, 2)):
        error = MoreLiarsError("refused", claim, opened_pieces(cluster, *replicas))
        assert accuse_many(error, cluster.epochs, encoder) == ()


def test_a_root_that_does_not_continue_what_is_no_longer_held_accuses_nobody() -> None:
    """Half of that evidence would prove nothing."""
    cluster = decided(blocks=2)
    cluster.disperse()
    pieces, encoder = opened_pieces(cluster, 0, 1, 2), BlockEncoder(cluster.epochs)
    assert accuse_many(MoreLiarsError("gone", "chain", pieces), cluster.epochs, encoder) == ()
    (evidence,) = accuse_many(MoreLiarsError("held", "chain", pieces, pieces), cluster.epochs, encoder)
    assert [part.name for part in evidence.parts] == ["claim", *["piece"] * 3, *["previous"] * 3]
    assert all(Piece.from_bytes(part.data).slice == b"" for part in evidence.parts[1:4])
