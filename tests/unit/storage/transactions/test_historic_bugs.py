"""Bugs that systems of this kind have had, each by its name; the numbers are those of its public reports at ScalarDB.

Those that need a crash or a race at one moment are in the matrix beside (`test_recovery_matrix`: no recovery in an
implicit read, #1476 and #1681) and in the simulation (`tests/simulation/test_transactions.py`: collection races, #3650;
an abort by id that is lost, #3619; commit of records over a newer transaction, 2019).
"""

import pytest

from storage.model.operations import Key, Mutation, Row, Scan, ScanByIndex, Update
from storage.model.predicates import equals
from storage.tables.errors import UnknownOutcomeError
from storage.transactions.coordinator import HORIZON
from storage.transactions.effects import All, Apply, Pull, Read
from storage.transactions.errors import RecordExistsError, TransactionAbortedError, TransactionConflictError
from storage.transactions.identifiers import BUCKETS
from storage.transactions.layout import ABORTED, COMMITTED, TX_ID, TX_STATE
from storage.transactions.settings import Isolation
from tests.unit.storage.transactions.test_recovery_matrix import AFTER, BEFORE, KEY, TABLE, Bench, left_behind

OTHER = Key(("s",), (2,))


def with_rows(*keys: Key) -> Bench:
    """A bench with committed rows."""
    bench = Bench()
    core = bench.core()
    for key in keys:
        bench.run(core.insert(TABLE, key, {"colour": "red", "weight": 1}))
    bench.run(core.commit())
    return bench


def test_write_skew_on_absent_rows_65() -> None:
    """Two that each saw the other's record absent, and insert their own, cannot both commit."""
    bench = Bench()
    one, other = bench.core(), bench.core()
    for core, mine, theirs in ((one, KEY, OTHER), (other, OTHER, KEY)):
        assert bench.run(core.get(TABLE, theirs)) is None
        bench.run(core.insert(TABLE, mine, {"weight": 1}))
    bench.run(one.commit())
    with pytest.raises(TransactionConflictError):
        bench.run(other.commit())


@pytest.mark.parametrize("isolation", list(Isolation))
def test_lost_update_66(isolation: Isolation) -> None:
    """Two that read one version and write it cannot both commit, at any level."""
    bench = with_rows(KEY)
    one, other = bench.core(isolation), bench.core(isolation)
    for core in (one, other):
        row = bench.run(core.get(TABLE, KEY))
        bench.run(core.update(TABLE, KEY, {"weight": row["weight"] + 1}))
    bench.run(one.commit())
    with pytest.raises(TransactionConflictError):
        bench.run(other.commit())
    assert bench.run(bench.core().get(TABLE, KEY))["weight"] == 2


def test_read_set_overwritten_2797() -> None:
    """A later read of a record does not move what its write is conditional on: the first that was seen."""
    bench = with_rows(KEY)
    core = bench.core(Isolation.READ_COMMITTED)
    first = bench.run(core.get(TABLE, KEY))
    between = bench.core()
    bench.run(between.update(TABLE, KEY, {"weight": 5}))
    bench.run(between.commit())
    bench.run(core.get(TABLE, KEY))
    bench.run(core.update(TABLE, KEY, {"weight": first["weight"] + 1}))
    with pytest.raises(TransactionConflictError):
        bench.run(core.commit())
    assert bench.run(bench.core().get(TABLE, KEY))["weight"] == 5


def test_all_records_are_rolled_back_680() -> None:
    """Where one record cannot be prepared, those that were are brought back, every one."""
    bench = with_rows(KEY, OTHER)
    core, between = bench.core(), bench.core()
    for key in (KEY, OTHER):
        bench.run(core.get(TABLE, key))
        bench.run(core.update(TABLE, key, {"weight": 7}))
    bench.run(between.update(TABLE, OTHER, {"weight": 3}))
    bench.run(between.commit())
    with pytest.raises(TransactionConflictError):
        bench.run(core.commit())
    row = bench.row()
    assert row is not None
    assert (row["weight"], row["_tx_before"]) == (1, None)


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_after_delete_with_a_limit_2601(reverse: bool) -> None:
    """A row that this transaction deletes does not use up the limit, and the next one is given."""
    keys = [Key(("s",), (number,)) for number in range(4)]
    bench = with_rows(*keys)
    core = bench.core()
    ordered = keys[::-1] if reverse else keys
    for key in ordered[:2]:
        bench.run(core.delete(TABLE, key))
    rows = bench.run(core.scan(Scan(table=TABLE, partition=("s",), limit=1, reverse=reverse)))
    assert [row["number"] for row in rows] == [ordered[2].clustering[0]]
    bench.run(core.commit())


@pytest.mark.parametrize("isolation", [Isolation.SERIALIZABLE, Isolation.SNAPSHOT])
def test_stale_before_image_3621(isolation: Isolation) -> None:
    """The before-image of an expired record is given only after the abort of its holder is durable."""
    bench = left_behind("updated", "expired")
    held = bench.row()
    assert held is not None
    assert bench.run(bench.core(isolation).get(TABLE, KEY)) == BEFORE
    kinds = [type(call) for call in bench.calls]
    assert kinds == [Read, Read, Apply, Apply]
    decision = bench.calls[2]
    assert isinstance(decision, Apply)
    assert decision.batch[0].key.clustering == (held[TX_ID],)
    assert decision.batch[0].values["state"] == ABORTED  # type: ignore[union-attr]


def test_a_decided_row_goes_forward_whoever_is_away() -> None:
    """What was committed is given, and nobody's lease is asked for."""
    bench = left_behind("updated", "committed")
    bench.now_ms += 10**9
    assert bench.run(bench.core().get(TABLE, KEY)) == AFTER
    row = bench.row()
    assert row is not None
    assert row[TX_STATE] == 3


@pytest.mark.parametrize("blind", [True, False])
def test_a_delete_of_an_own_insert_is_seen_by_later_scans(blind: bool) -> None:
    """At READ COMMITTED another transaction's record may come up under the key: who deleted it does not see it."""
    bench = with_rows()
    core = bench.core(Isolation.READ_COMMITTED)
    if not blind:
        assert bench.run(core.get(TABLE, KEY)) is None
    bench.run(core.insert(TABLE, KEY, {"weight": 1}))
    bench.run(core.delete(TABLE, KEY))
    other = bench.core()
    bench.run(other.insert(TABLE, KEY, {"weight": 2}))
    bench.run(other.commit())
    assert bench.run(core.get(TABLE, KEY)) is None
    assert bench.run(core.scan(Scan(table=TABLE, partition=KEY.partition))) == []
    bench.run(core.insert(TABLE, OTHER, {"weight": 3}))
    bench.run(core.commit())
    assert bench.run(bench.core().get(TABLE, KEY))["weight"] == 2


def test_what_a_scan_did_not_give_is_not_written_as_if_it_had_been_there() -> None:
    """A record that came up after the scan, and is then read and written: the scan is not of the same moment."""
    bench = with_rows()
    core = bench.core()
    assert bench.run(core.scan(Scan(table=TABLE, partition=KEY.partition))) == []
    other = bench.core()
    bench.run(other.insert(TABLE, KEY, {"weight": 1}))
    bench.run(other.commit())
    assert bench.run(core.get(TABLE, KEY))["weight"] == 1
    bench.run(core.update(TABLE, KEY, {"weight": 2}))
    with pytest.raises(TransactionConflictError):
        bench.run(core.commit())


def test_an_abort_whose_answer_was_lost_is_sent_again_until_it_is_durable() -> None:
    """A decision to commit that was under way could still arrive before it."""
    bench = with_rows()
    coordinator, lost = bench.coordinator, bench.core().transaction_id
    steps = coordinator.abort("a", lost, 0)
    assert isinstance(next(steps), Apply)
    looked = steps.throw(UnknownOutcomeError("lost, and never applied"))
    assert isinstance(looked, Read)
    bench.decide(lost, COMMITTED)
    assert bench.run(steps, [None]) == COMMITTED


def test_looks_during_a_freeze_that_did_not_last_prove_nothing() -> None:
    """Whoever waits at a gate opens it after a lease: the slow one that had shut it must not commit on its looks."""
    bench = with_rows()
    core = bench.core()
    for shelf in ("s", "t"):
        assert bench.run(core.scan(Scan(table=TABLE, partition=(shelf,)))) == []
    bench.run(core.insert(TABLE, Key(("u",), (1,)), {"weight": 1}))
    steps, effect, answer = core.commit(), None, None
    while not (isinstance(effect, Apply) and any(map(is_shutting, effect.batch))):
        effect = steps.send(answer)
        answer = bench.answer(effect)
    for number in range(BUCKETS):
        key = Key((number,), (HORIZON,))
        opening: Row = {"gate_ms": 0, "frozen_by": None, "frozen_at_ms": None}
        bench.store.apply((Update(table=bench.coordinator.table, key=key, values=opening),))
    with pytest.raises(TransactionConflictError, match="not frozen"):
        bench.run(steps, answer)


def is_shutting(mutation: Mutation) -> bool:
    """Whether a mutation shuts a gate."""
    return isinstance(mutation, Update) and mutation.values.get("frozen_by") is not None


def test_who_is_refused_the_decision_leaves_nothing_prepared() -> None:
    """The abort is another's and durable; the records need not wait for whoever meets them."""
    bench = with_rows(KEY)
    core = bench.core()
    bench.run(core.update(TABLE, KEY, {"weight": 2}))
    bench.decide(core.transaction_id, ABORTED)
    with pytest.raises(TransactionAbortedError):
        bench.run(core.commit())
    row = bench.row()
    assert row is not None
    assert (row["weight"], row[TX_STATE]) == (1, COMMITTED)


@pytest.mark.parametrize("decision", ["aborted", "expired", "committed"])
@pytest.mark.parametrize("isolation", list(Isolation))
def test_a_condition_is_judged_by_the_committed_image(decision: str, isolation: Isolation) -> None:
    """A prepared row's columns are its after-image: the store's own judgement must not hide what may be rolled back."""
    for weight, found in ((1, decision != "committed"), (2, decision == "committed")):
        bench = left_behind("updated", decision)
        scan = Scan(table=TABLE, partition=KEY.partition, where=equals("weight", weight))
        assert bool(bench.run(bench.core(isolation).scan(scan))) is found


@pytest.mark.parametrize("isolation", list(Isolation))
def test_an_index_read_misses_no_row_that_is_brought_forward_meanwhile(isolation: Isolation) -> None:
    """Coming values are read first: a row goes from there to the committed ones, never the other way."""
    bench = left_behind("updated", "committed")
    steps = bench.core(isolation).scan(ScanByIndex(table=TABLE, column="colour", value="blue"))
    effect, answer = None, None
    while not isinstance(effect, Pull):
        effect = steps.send(answer)
        answer = bench.answer(effect)
    assert bench.run(bench.core().get(TABLE, KEY)) == AFTER
    assert bench.run(steps, answer) == [AFTER]


@pytest.mark.parametrize("isolation", list(Isolation))
@pytest.mark.parametrize("look", ["none", "get", "scan", "update"])
def test_an_insert_never_overwrites_what_a_later_look_finds(isolation: Isolation, look: str) -> None:
    """Nobody looked before the insert: that there is such a record stays an error, whatever is read behind it."""
    bench = with_rows(KEY)
    core = bench.core(isolation)
    bench.run(core.insert(TABLE, KEY, {"weight": 7}))
    if look == "get":
        assert bench.run(core.get(TABLE, KEY))["weight"] == 7
    elif look == "scan":
        assert [row["weight"] for row in bench.run(core.scan(Scan(table=TABLE, partition=KEY.partition)))] == [7]
    elif look == "update":
        assert bench.run(core.update(TABLE, KEY, {"weight": 7}))
    with pytest.raises(RecordExistsError):
        bench.run(core.commit())
    assert bench.run(bench.core().get(TABLE, KEY))["weight"] == 1


def test_a_prepare_that_may_still_arrive_is_aborted_durably() -> None:
    """Its answer was lost and nothing of it is there: whoever meets it, late, must not wait for its lease."""
    bench = with_rows(KEY)
    core = bench.core()
    bench.run(core.update(TABLE, KEY, {"weight": 2}))
    steps, effect, answer = core.commit(), None, None
    while not isinstance(effect, All):
        answer = bench.answer(effect) if effect is not None else None
        effect = steps.send(answer)
    with pytest.raises(TransactionConflictError):
        bench.run(steps, [UnknownOutcomeError("lost")] * len(effect.parts))
    for part in effect.parts:
        assert bench.answer(part) is None
    began_ms = bench.now_ms
    assert bench.run(bench.core().get(TABLE, KEY))["weight"] == 1
    assert bench.now_ms == began_ms


def test_write_skew_through_scans_of_what_is_being_written() -> None:
    """Both have prepared; who looks again finds a row of its scan held, and cannot tell what will become of it."""
    bench = with_rows(KEY, OTHER)
    one, other = bench.core(), bench.core()
    for core, mine in ((one, KEY), (other, OTHER)):
        assert len(bench.run(core.scan(Scan(table=TABLE, partition=KEY.partition)))) == 2
        bench.run(core.update(TABLE, mine, {"weight": 0}))
    for core in (one, other):
        bench.run(core.phases.prepare())
    for core in (one, other):
        with pytest.raises(TransactionConflictError):
            bench.run(core.phases.validate())
