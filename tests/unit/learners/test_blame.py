"""Evidence against a replica: it convicts the liar, and cannot be turned against an honest one."""

from dataclasses import replace

from learners.blame import REPLICA as REPLICA_HERE
from learners.blame import TWO_STATEMENTS as TWO_STATEMENTS_HERE
from learners.blame import BlockEncoder
from learners.dispersal import frame_block
from protocol.evidence.kinds import REPLICA, TWO_STATEMENTS
from protocol.evidence.verdicts import Finding
from protocol.evidence.verify import verify_evidence
from protocol.hashing import ZERO_HASH
from protocol.signatures import statement_hash
from schemas.evidence import Evidence, Part
from schemas.piece import Piece
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
