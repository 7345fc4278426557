"""What the tests of a learner under attack share: what was learned, and what the offline verifier says of it.

Every attack is made with the liar's real key; replica 2 is the liar throughout.
"""

from dataclasses import replace

from learners.blame import BlockEncoder
from learners.checksums import disperse
from learners.codec import erasure_code
from learners.dispersal import Dispersal, frame_block
from protocol.evidence.verdicts import Culprit, Finding, Verdict
from protocol.evidence.verify import verify_evidence
from protocol.signatures import statement_hash
from schemas.piece import PieceHeader
from tests.unit.learners.cluster import Actor, Cluster

LIAR = 2


def decided(blocks: int = 2, n: int = 4, b: int = 1) -> Cluster:
    cluster = Cluster(n, b)
    cluster.decide(blocks * n)
    return cluster


def verdicts(cluster: Cluster) -> list[Verdict]:
    """What the offline verifier says of all that was published as evidence."""
    dispersal = BlockEncoder(cluster.epochs)
    return [verify_evidence(data, cluster.world.ledger_id, dispersal=dispersal) for data in cluster.evidence()]


def named(cluster: Cluster) -> list[Culprit | None]:
    found = verdicts(cluster)
    assert all(verdict.finding is Finding.GUILTY for verdict in found), found
    return [verdict.culprit for verdict in found]


def learned_all(cluster: Cluster, actor: Actor, blocks: int = 2) -> None:
    """Everything was learned, in order, once, and as it was decided."""
    assert actor.halt is None
    last = blocks * cluster.n - 1
    assert actor.views.position.sequence == last
    assert [row.block for row in actor.views.blocks] == list(range(blocks))
    assert [row[1] for row in actor.views.requests] == list(range(last + 1))
    assert [message.sequence for message in cluster.feed()] == list(range(last + 1))


def honest(cluster: Cluster) -> Dispersal:
    return cluster.block(0)


def another_block(cluster: Cluster) -> tuple[PieceHeader, bytes]:
    """A block of its own invention, in perfect form."""
    about = honest(cluster).description
    made = disperse(about, b"x" * about.block_length, erasure_code(cluster.k, cluster.n))
    return made.header(LIAR), made.slice(LIAR)


def last_hash(cluster: Cluster, block: int) -> bytes:
    return statement_hash(cluster.last(block).statement)


def altered_outputs(cluster: Cluster) -> bytes:
    """The first block with an output that its outcome does not pin, in perfect form otherwise."""
    updates = [cluster.world.updates[sequence] for sequence in range(4)]
    updates[1] = replace(updates[1], outputs=(b'"altered"',))
    return frame_block([update.to_bytes() for update in updates])
