"""Any liars, losses, repetitions, orders and crashes: a learner holds a prefix of the one journal, and blames liars."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from learners.blame import BlockEncoder
from learners.checksums import disperse
from learners.codec import erasure_code
from protocol.configuration import SIMPLE, TREE
from protocol.evidence.verdicts import Culprit, Finding
from protocol.evidence.verify import verify_evidence
from protocol.hashing import tagged
from schemas.evidence import Evidence
from schemas.piece import Piece, PieceHeader
from schemas.topics import EVIDENCE, LEARNED, pieces_topic
from storage.effects import Effect, Outgoing
from streams.memory_log import MemoryLog
from tests.unit.learners.cluster import Cluster, Corrupting, MemoryViews

BLOCKS = 3


@cache
def decided(n: int, b: int, checksum: str) -> Cluster:
    """Some blocks, and every replica's honest pieces of them."""
    cluster = Cluster(n, b, checksum=checksum)
    cluster.decide(BLOCKS * n)
    cluster.disperse()
    return cluster


def lies(cluster: Cluster, liar: int, block: int, kind: int) -> bytes:
    """A piece by a liar's real key."""
    honest = cluster.pieces(liar)[block]
    header, data = PieceHeader.from_bytes(honest.header), honest.slice
    match kind:
        case 0:
            wrong = Corrupting(cluster.k, cluster.n, liar)
            made = cluster.block(block, header.previous_block_root, wrong)
            header, data = made.header(liar), made.slice(liar)
        case 1:
            header = replace(header, root=tagged("block", b"a lie"))
        case 2:
            about = cluster.block(block, header.previous_block_root).description
            made = disperse(about, b"x" * about.block_length, erasure_code(cluster.k, cluster.n))
            header, data = made.header(liar), made.slice(liar)
        case 3:
            header = replace(header, slice_hash=tagged("slice", b""), path=())
            data = b""
        case 4:
            header = replace(header, block=header.block + 1000)
        case _:
            header = replace(header, piece_index=(liar + 1) % cluster.n)
    return cluster.sign_piece(liar, header, data, honest.last)


PROVABLE = 4
"""Lies below this kind are proved by the block they are about; the others are about no block, or nobody's."""


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Cluster, dict[int, set[int]], list[tuple[int, bytes]], set[int]]:
    """A cluster, its liars with their provable lies by block, what arrives in which order, who is complete."""
    cluster = decided(*draw(st.sampled_from([(4, 1), (7, 2), (3, 1)])), draw(st.sampled_from([TREE, SIMPLE])))
    liars = draw(st.sets(st.integers(0, cluster.n - 1), max_size=cluster.b))
    told: dict[int, set[int]] = {liar: set() for liar in liars}
    complete: set[int] = set()
    streams: list[list[tuple[int, bytes]]] = []
    for index in range(cluster.n):
        messages = [(block, piece.to_message()) for block, piece in enumerate(cluster.pieces(index))]
        if index in liars:
            kinds = draw(st.lists(st.integers(0, 5), min_size=BLOCKS, max_size=BLOCKS))
            messages = [(block, lies(cluster, index, block, kind)) for block, kind in enumerate(kinds)]
            told[index] = {block for block, kind in enumerate(kinds) if kind < PROVABLE}
        else:
            silent = draw(st.booleans()) and draw(st.booleans())
            kept = draw(st.integers(0, BLOCKS)) if silent else BLOCKS
            messages = messages[:kept]
            if kept == BLOCKS:
                complete.add(index)
        messages += draw(st.lists(st.sampled_from(messages), max_size=2)) if messages else []
        streams.append([(index, message) for _, message in draw(st.permutations(messages))])
    arrivals = draw(st.permutations([index for index, stream in enumerate(streams) for _ in stream]))
    iterators = [iter(stream) for stream in streams]
    return cluster, told, [next(iterators[index]) for index in arrivals], complete


class DeathError(Exception):
    pass


def learn_with_crashes(cluster: Cluster, log: MemoryLog, views: MemoryViews, lives: Sequence[int]) -> None:
    """Let learners die after so many effects, one after the other; the last one runs until nothing moves."""
    for effects in lives:
        left = iter(range(effects))

        def die(effect: Effect, left: object = left) -> None:
            if next(left, None) is None:  # type: ignore[call-overload]
                raise DeathError

        actor = cluster.learner(views)
        actor.reader, actor.writer, actor.log = log.reader(), log.writer(), log
        actor.on_effect = die
        try:
            actor.run()
        except DeathError:
            continue
    actor = cluster.learner(views)
    actor.reader, actor.writer, actor.log = log.reader(), log.writer(), log
    actor.run()
    assert actor.halt is None


@settings(max_examples=60, deadline=None)
@given(schedule=schedules(), data=st.data())
def test_a_learner_holds_a_prefix_and_blames_only_liars(
    schedule: tuple[Cluster, dict[int, set[int]], list[tuple[int, bytes]], set[int]], data: st.DataObject
) -> None:
    """I5, whatever arrives; and everything is learned wherever k honest replicas have sent everything."""
    cluster, told, arrivals, complete = schedule
    names = [EVIDENCE, LEARNED, *map(pieces_topic, range(cluster.n))]
    log, views = MemoryLog(dict.fromkeys(names, 1)), MemoryViews()
    cut = data.draw(st.integers(0, len(arrivals)))
    for index, message in arrivals[:cut]:
        log.insert(Outgoing(pieces_topic(index), 0, None, message))
    lives = data.draw(st.lists(st.integers(0, 25), max_size=3))
    learn_with_crashes(cluster, log, views, lives)
    for index, message in arrivals[cut:]:
        log.insert(Outgoing(pieces_topic(index), 0, None, message))
    learn_with_crashes(cluster, log, views, [])

    ids = {row[0]: row[1] for row in views.requests}
    assert [row[1] for row in views.requests] == list(range(views.position.sequence + 1))
    history = cluster.world.ledger.history
    written = {record.request_id: record.writer_sequence for versions in history.values() for record in versions}
    assert all(written[request_id] == sequence for request_id, sequence in ids.items())
    if len(complete) >= cluster.k:
        assert views.position.sequence == BLOCKS * cluster.n - 1

    dispersal = BlockEncoder(cluster.epochs)
    named = set()
    for published in log.messages(EVIDENCE):
        evidence = Evidence.body_of(published.value or b"")
        verdict = verify_evidence(evidence, cluster.world.ledger_id, dispersal=dispersal)
        assert verdict.finding is Finding.GUILTY
        named.add(verdict.culprit)
    assert named <= {Culprit("replica", liar) for liar in told}
    if len(complete) >= cluster.k and not lives and cut == len(arrivals):
        assert named == {Culprit("replica", liar) for liar, blocks in told.items() if blocks}


def test_the_lies_of_this_test_are_authentic_messages() -> None:
    """Each of them parses: it is the learner that must find it out."""
    cluster = decided(4, 1, TREE)
    for kind in range(6):
        Piece.from_message(lies(cluster, 1, 0, kind))
