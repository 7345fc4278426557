"""What `learn` and `storage` say is what was counted, for people and for programs alike."""

from itertools import count

from deploy.learning import (
    BLOCK_COLUMNS,
    REPLICA_COLUMNS,
    STORAGE_COLUMNS,
    TOTAL_COLUMNS,
    RunningLearner,
    block_rows,
    block_values,
    journal_values,
    replica_rows,
    storage_rows,
    storage_values,
    total_rows,
)
from schemas.topics import pieces_topic
from streams.learn_once import LearnedJournal, learn_once
from tests.unit.learners.cluster import Cluster, Corrupting


def learned(cluster: Cluster) -> LearnedJournal:
    clock = count()
    return learn_once(cluster.epochs, cluster.log.reader(), lambda: next(clock))


def attacked() -> Cluster:
    """Three blocks; replica 0 lies, and replica 3 is behind by one."""
    cluster = Cluster()
    cluster.decide(8)
    cluster.disperse(3)
    cluster.decide(4)
    cluster.replica(0, Corrupting(3, 4, 1))
    cluster.disperse(1, 2)
    return cluster


def test_the_rows_have_the_columns_they_stand_under() -> None:
    """One cell for each column, in every table."""
    cluster = attacked()
    found = learned(cluster)
    storage = storage_values(found.report, cluster.epochs)
    tables = (
        (TOTAL_COLUMNS, total_rows(found.report)),
        (REPLICA_COLUMNS, replica_rows(found.report)),
        (BLOCK_COLUMNS, block_rows(found.report.kept)),
        (STORAGE_COLUMNS, storage_rows(storage)),
    )
    for columns, rows in tables:
        assert rows
        assert {len(row) for row in rows} == {len(columns)}


def test_a_program_is_told_who_lied_and_who_is_behind() -> None:
    """Two blocks have three honest pieces; the third one waits, so replica 3 is not behind what was learned."""
    values = journal_values(learned(attacked()))
    assert (values["sequence"], values["blocks"], values["halted"]) == (7, 2, None)
    assert (values["blamed"], values["evidence"], values["within_bounds"]) == ([0], 1, True)
    assert [replica["wrong"] for replica in values["replicas"]] == [2, 0, 0, 0]
    assert values["decodes"] == values["decodes_max"] == 2


def test_blocks_are_told_one_by_one() -> None:
    """Everything sums to the totals."""
    found = learned(attacked())
    values, blocks = journal_values(found), block_values(found.report.kept)
    assert [block["block"] for block in blocks] == [0, 1]
    assert all(block["wrong"] == [0] and block["missing"] == [] for block in blocks)
    for name in ("messages", "counted_bytes", "counted_bytes_max", "signature_bytes", "framing_bytes", "decodes"):
        assert sum(block[name] for block in blocks) == values[name], name


def test_storage_is_all_that_stands_on_a_replica_s_topic() -> None:
    """Against the journal and the k-th part of it; the slices' part is exactly what Proposition 4.2 says."""
    cluster = Cluster(7, 2)
    cluster.decide(14, requests=5)
    cluster.disperse()
    found = learned(cluster)
    values = storage_values(found.report, cluster.epochs)
    assert (values["n"], values["k"], values["blocks"]) == (7, 5, 2)
    for replica in values["replicas"]:
        messages = cluster.log.messages(pieces_topic(replica["replica"]))
        assert replica["stored_bytes"] == sum(len(message.value or b"") for message in messages)
        assert replica["counted_bytes"] == replica["counted_bytes_max"]
        assert replica["of_journal"] == round(replica["stored_bytes"] / values["journal_bytes"], 4)
        assert replica["of_share"] == round(5 * replica["stored_bytes"] / values["journal_bytes"], 4)
        assert replica["of_journal"] < 1 < replica["of_share"]


def test_an_empty_ledger_stores_nothing() -> None:
    """Nothing is divided by nothing."""
    cluster = Cluster()
    values = storage_values(learned(cluster).report, cluster.epochs)
    assert (values["journal_bytes"], values["share_bytes"]) == (0, 0)
    assert {replica["of_share"] for replica in values["replicas"]} == {0.0}


def test_a_running_learner_is_shown_beside_the_theorem() -> None:
    """Its own counters, and the bound for as many blocks as it has learned since it started."""
    cluster = Cluster()
    values = {"blocks": 10.0, "block_bytes": 30_000.0, "decodes": 10.0, "gauge_lag_2": 4.0, "gauge_blamed_1": 1.0}
    learner = RunningLearner(instance="7", at_ms=0, values=values)
    rows = {row[0]: row[1:3] for row in learner.rows(cluster.epochs)}
    assert rows["decode steps"] == (10, 10)
    assert rows["bytes: number, slice, checksum"][1] == 4 * (10 * (8 + 96 + 1) + 10_000)
    assert learner.replica_rows(cluster.epochs)[1:3] == [(1, 0, 0, 0, "yes"), (2, 4, 0, 0, "no")]
