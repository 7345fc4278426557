"""A7, A8, A13: replicas that agree on a lie, as many as may be and more, and one that tells everybody another.

Up to `b` of them cost nothing and are named. More than that end the learner, which hands on nothing that is wrong and
publishes what shows it: each of them by name where a root is false, all together where nobody can tell who lied.
"""

from dataclasses import replace
from itertools import permutations

import pytest

from learners.blame import BlockEncoder
from learners.checksums import disperse
from learners.codec import erasure_code
from learners.dispersal import Dispersal, describe
from protocol.evidence.kinds import FALSE_BLOCK, TOO_MANY_LIARS
from protocol.evidence.verdicts import REPLICAS, Culprit, Finding
from protocol.evidence.verify import verify_evidence
from protocol.hashing import ZERO_HASH, tagged
from schemas.evidence import Evidence
from schemas.piece import Piece
from schemas.topics import pieces_topic
from tests.attacks.dispersal import LYING, another_slice, check_lie, ended, flipped, ledger
from tests.unit.learners.cluster import Cluster, Corrupting
from tests.unit.learners.judgement import LIAR, altered_outputs, honest, learned_all, named, verdicts


def invented(cluster: Cluster, text: bytes = b"x") -> Dispersal:
    """A block that was never decided, in perfect form."""
    about = honest(cluster).description
    block = (text * about.block_length)[: about.block_length]
    return disperse(about, block, erasure_code(cluster.k, cluster.n))


def rewritten(cluster: Cluster) -> Dispersal:
    """The decided block with one output altered, in perfect form, and with its true last statement."""
    block = altered_outputs(cluster)
    about = replace(honest(cluster).description, block_length=len(block))
    return disperse(about, block, erasure_code(cluster.k, cluster.n))


def forked(cluster: Cluster) -> Dispersal:
    """Another journal, whole in itself, and beside it the true last statement, in which it does not end."""
    fork = Cluster()
    fork.decide(4, requests=2)
    block = fork.block_bytes(0)
    about = replace(honest(cluster).description, block_length=len(block))
    return disperse(about, block, erasure_code(cluster.k, cluster.n))


def tell(cluster: Cluster, made: Dispersal, *liars: int, block: int = 0) -> None:
    """Let these replicas sign their pieces of this block."""
    for liar in liars:
        cluster.lie(liar, made.header(liar), made.slice(liar), cluster.last(block))


def kinds(cluster: Cluster) -> list[tuple[str, bytes]]:
    """Kind and claim of all evidence."""
    found = [Evidence.from_bytes(data) for data in cluster.evidence()]
    return [(each.kind, each.parts[0].data if each.parts[0].name == "claim" else b"") for each in found]


def all_together(cluster: Cluster) -> bool:
    """Whether everything published convicts the replicas together, and none by name."""
    return {verdict.culprit for verdict in verdicts(cluster)} == {REPLICAS} and all(
        verdict.finding is Finding.GUILTY for verdict in verdicts(cluster)
    )


# --- As many as may be ---


@pytest.mark.parametrize("checksum", LYING)
def test_a07_the_same_false_root_of_b_replicas(checksum: str) -> None:
    """All of them before the honest ones: never b + 1, so never believed; both are named."""
    cluster = ledger(checksum, n=7, b=2)
    tell(cluster, invented(cluster), 2, 3)
    actor = cluster.learn()
    assert (actor.halt, actor.views.position.sequence) == (None, -1)
    cluster.disperse(0, 1, 4, 5, 6)
    learned_all(cluster, actor.run())
    assert set(named(cluster)) == {Culprit("replica", 2), Culprit("replica", 3)}


@pytest.mark.parametrize("checksum", LYING)
def test_a13_b_replicas_with_slices_of_no_codeword(checksum: str) -> None:
    """Wrong slices under a root that is made of them, or under the honest one."""
    cluster = ledger(checksum, n=7, b=2)
    for liar in (2, 3):
        cluster.replica(liar, Corrupting(cluster.k, cluster.n, liar))
    cluster.disperse(0, 1, 4, 5, 6)
    learned_all(cluster, cluster.learn())
    assert set(named(cluster)) == {Culprit("replica", 2), Culprit("replica", 3)}


@pytest.mark.parametrize("checksum", LYING)
def test_a08_another_root_to_every_learner(checksum: str) -> None:
    """One sees the true piece, the others each another lie: all learn one journal, and name who lied to them."""
    clusters = [ledger(checksum, blocks=1) for _ in range(3)]
    for number, cluster in enumerate(clusters):
        made = invented(cluster, bytes((number,))) if number else honest(cluster)
        tell(cluster, made, LIAR)
        cluster.disperse(0, 1, 3)
        learned_all(cluster, cluster.learn(), 1)
        assert named(cluster) == ([Culprit("replica", LIAR)] if number else [])
    first, *others = clusters
    assert all(other.feed() == first.feed() for other in others)


# --- More than may be ---


@pytest.mark.parametrize("checksum", LYING)
def test_a07_two_roots_of_more_than_b_replicas_each(checksum: str) -> None:
    """b + 1 agree on a lie, the others on the truth: one of the two must be false, and nobody can say which."""
    cluster = ledger(checksum)
    tell(cluster, invented(cluster), 0, 1)
    cluster.disperse(2, 3)
    ended(cluster, cluster.learn())
    assert kinds(cluster) == [(TOO_MANY_LIARS, b"roots")]
    assert all_together(cluster)


@pytest.mark.parametrize("checksum", LYING)
def test_a07_no_root_that_enough_replicas_can_name(checksum: str) -> None:
    """Two lie, each in its own way, and two are not enough for a block: waiting would be for ever."""
    cluster = ledger(checksum)
    tell(cluster, invented(cluster, b"x"), 0)
    cluster.disperse(2, 3)
    actor = cluster.learn()
    assert actor.halt is None, "replica 1 may still tell the truth"
    tell(cluster, invented(cluster, b"y"), 1)
    ended(cluster, actor.run())
    assert kinds(cluster) == [(TOO_MANY_LIARS, b"roots")]
    assert all_together(cluster)


@pytest.mark.parametrize("make", [invented, rewritten, forked])
@pytest.mark.parametrize("checksum", LYING)
def test_a07_a_false_block_of_enough_replicas(checksum: str, make: object) -> None:
    """k replicas agree on a codeword that is not the block its last statement ends: each of them is named."""
    cluster = ledger(checksum, blocks=1)
    tell(cluster, make(cluster), 0, 1, 2)  # type: ignore[operator]
    ended(cluster, cluster.learn())
    assert kinds(cluster) == [(FALSE_BLOCK, b"")] * 3
    assert set(named(cluster)) == {Culprit("replica", liar) for liar in range(3)}


def test_a13_a_root_over_no_codeword_of_enough_replicas() -> None:
    """Every slice is under the root, and no block is: whoever signed that root lied, and is named."""
    cluster = ledger("tree")
    wrong = Corrupting(cluster.k, cluster.n, 3)
    for liar in (0, 1, 2):
        cluster.replica(liar, wrong)
    ended(cluster, cluster.learn())
    assert kinds(cluster) == [(FALSE_BLOCK, b"")] * 3
    assert set(named(cluster)) == {Culprit("replica", liar) for liar in range(3)}


def test_a13_too_many_wrong_slices_under_a_true_root() -> None:
    """Nothing comes of k + b pieces: more than b of them are wrong, and nobody can tell which."""
    cluster = ledger("simple")
    for liar in (1, 2):
        cluster.replica(liar, Corrupting(cluster.k, cluster.n, liar))
    cluster.disperse(0)
    actor = cluster.learn()
    assert actor.halt is None, "what is missing may be all it takes"
    cluster.disperse(3)
    ended(cluster, actor.run())
    assert kinds(cluster) == [(TOO_MANY_LIARS, b"no block")]
    assert all_together(cluster)


def test_a13_a_lie_where_nobody_may_lie() -> None:
    """Without a checksum a single liar is too many: the journal does not fit, and the learner stops."""
    cluster = ledger("none")
    cluster.replica(LIAR, Corrupting(cluster.k, cluster.n, LIAR))
    cluster.disperse(0, 1)
    ended(cluster, cluster.learn())
    assert kinds(cluster) == [(TOO_MANY_LIARS, b"no block")]
    assert all_together(cluster)


@pytest.mark.parametrize("checksum", LYING)
def test_a07_a_root_before_the_block_that_was_none(checksum: str) -> None:
    """k replicas splice a block onto another past. Who has seen the block before can show it."""
    cluster = ledger(checksum)
    for index in range(4):
        cluster.replica(index)
        cluster.log.lose_tail(pieces_topic(index), 0, 1)
    actor = cluster.learn()
    assert actor.views.position.sequence == 3
    tell(cluster, cluster.block(1, tagged("block", b"another")), 0, 1, 2, block=1)
    actor.run()
    assert actor.halt is not None
    assert actor.halt.code == "replicas.assumption"
    assert actor.views.position.sequence == 3
    assert kinds(cluster) == [(TOO_MANY_LIARS, b"chain")]
    assert all_together(cluster)


# --- What none of this evidence can be turned into ---


def convicted(cluster: Cluster, kind: str, parts: list[tuple[str, bytes]]) -> Culprit | None:
    """Whom a file of these parts convicts."""
    evidence = Evidence(
        format=1,
        ledger_id=cluster.world.ledger_id,
        kind=kind,
        genesis=cluster.epochs.genesis_bytes,
        configurations=cluster.epochs.signed,
        parts=tuple(parts),  # type: ignore[arg-type]
    ).to_bytes()
    encoder = BlockEncoder(cluster.epochs)
    return verify_evidence(evidence, cluster.world.ledger_id, dispersal=encoder).culprit


def test_honest_pieces_are_no_evidence_of_a_false_block() -> None:
    """In any choice, with whatever a liar signs beside them: a wrong slice, a wrong path, another root."""
    for checksum in LYING:
        cluster = ledger(checksum)
        cluster.disperse()
        pieces = [cluster.pieces(index)[0].to_bytes() for index in range(4)]
        lies = [another_slice(flipped)(cluster), (invented(cluster).header(LIAR), invented(cluster).slice(LIAR))]
        lies.append((replace(honest(cluster).header(LIAR), path=()), honest(cluster).slice(LIAR)))
        beside = [
            Piece.body_of(cluster.sign_piece(LIAR, header, data, cluster.last(0))) for header, data in lies
        ]
        for accused, first, second in permutations([*pieces, *beside], 3):
            if accused in beside:
                continue
            parts = [("piece", accused), ("other", first), ("other", second)]
            assert convicted(cluster, FALSE_BLOCK, parts) is None


def test_b_liars_are_no_evidence_of_more() -> None:
    """Any number of honest pieces, with one that lies in any way, under every claim."""
    for checksum in LYING:
        cluster = ledger(checksum)
        cluster.disperse()
        pieces = [cluster.pieces(index)[0].to_bytes() for index in (0, 1, 3)]
        later = [cluster.pieces(index)[1].to_bytes() for index in (0, 1, 3)]
        lies = [another_slice(flipped)(cluster), (invented(cluster).header(LIAR), invented(cluster).slice(LIAR))]
        for header, data in lies:
            lie = Piece.body_of(cluster.sign_piece(LIAR, header, data, cluster.last(0)))
            for shown in ([*pieces, lie], pieces, [lie], [*pieces[:2], lie], [*pieces[:1], lie], [lie, lie, *pieces]):
                parts = [("piece", data) for data in shown]
                for claim in (b"roots", b"no block"):
                    assert convicted(cluster, TOO_MANY_LIARS, [("claim", claim), *parts]) is None
                chain = [("piece", data) for data in later] + [("previous", data) for data in shown]
                assert convicted(cluster, TOO_MANY_LIARS, [("claim", b"chain"), *chain]) is None


def test_pieces_of_different_statements_prove_nothing_about_replicas() -> None:
    """Two doubly signed histories are the parties' doing; half of the replicas were given each."""
    cluster, fork = ledger("tree", blocks=1), Cluster()
    for number in range(4):
        fork.publish(fork.world.decide(fork.world.put("fork", number)).to_message())
    cluster.disperse(0, 1)
    fork.disperse(2, 3)
    shown = [*(cluster.pieces(i)[0] for i in (0, 1)), *(fork.pieces(i)[0] for i in (2, 3))]
    parts = [("claim", b"roots"), *(("piece", piece.to_bytes()) for piece in shown)]
    assert convicted(cluster, TOO_MANY_LIARS, parts) is None


def test_a_misconfigured_replica_is_counted_among_no_liars() -> None:
    """Three that are configured alike and wrongly, in perfect order by themselves."""
    cluster = ledger("tree")
    cluster.disperse(0, 1)
    about = describe(
        replace(cluster.configuration, k=2),
        cluster.ranges.of_block(0),
        len(cluster.block_bytes(0)),
        ZERO_HASH,
        honest(cluster).description.last_statement_hash,
    )
    other = disperse(about, cluster.block_bytes(0), erasure_code(2, 4))
    wrong = [
        Piece.body_of(cluster.sign_piece(index, other.header(index), other.slice(index), cluster.last(0)))
        for index in (2, 3)
    ]
    shown = [*(cluster.pieces(index)[0].to_bytes() for index in (0, 1)), *wrong]
    parts = [("claim", b"roots"), *(("piece", data) for data in shown)]
    assert convicted(cluster, TOO_MANY_LIARS, parts) is None


@pytest.mark.parametrize("checksum", LYING)
def test_a_lie_beside_a_true_root_names_only_the_liar(checksum: str) -> None:
    """Whoever shares the root with it is never named."""
    check_lie(ledger(checksum), another_slice(flipped), "first")
