"""A replica's place on its own topic: behind the last piece that it signed itself, whatever else stands there."""

from protocol.hashing import ZERO_HASH
from schemas.topics import pieces_topic
from tests.unit.learners.cluster import Cluster
from tests.unit.learners.test_replica import expected_pieces, piece_messages


def test_forged_and_altered_pieces_in_the_own_topic_are_looked_past() -> None:
    """Another one's signature under a false root, an unsigned statement, another statement beside the header."""
    cluster = Cluster()
    cluster.decide(12)
    made = cluster.block(1, previous_root=ZERO_HASH)
    header, data, last = made.header(0), made.slice(0), cluster.last(1)
    unsigned = last._replace(auditor_signature=bytes(64))
    for forged in (
        cluster.sign_piece(0, header, data, last, signer=1),
        cluster.sign_piece(0, header, data, unsigned),
        cluster.sign_piece(0, header, data, cluster.last(2)),
    ):
        cluster.publish(forged, pieces_topic(0))
        assert cluster.replica(0).halt is None
        published = piece_messages(cluster, 0)
        assert [message for message in published if message != forged] == expected_pieces(cluster, 0, 3)
        cluster.log.lose_tail(pieces_topic(0), 0, 4)
