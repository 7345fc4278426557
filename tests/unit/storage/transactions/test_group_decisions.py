"""Decisions of threads that come at once share batches, and each gets the answer that is its own."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import pytest

from protocol.errors import CountersignError
from storage.model.operations import Check, Mutation
from storage.model.predicates import Comparison
from storage.tables.errors import ConditionFailedError, TableStoreUnavailableError, UnknownOutcomeError
from storage.tables.memory_tables import MemoryTables
from storage.transactions.coordinator import GATE, Coordinator, state_table
from storage.transactions.freezing import Freeze
from storage.transactions.group_decisions import GroupDecisions, combined
from storage.transactions.hot_records import HotRecords
from storage.transactions.identifiers import bucket
from storage.transactions.layout import ABORTED, COMMITTED
from storage.transactions.settings import TransactionSettings
from storage.transactions.threads import ThreadDriver

PATIENCE_S = 10.0


class GatheringStore:
    """Holds back the first batch until as many decisions wait as a test wants."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.coordinator = Coordinator("coordinator", "home", {"home": self.tables.capabilities})
        self.tables.create_table(state_table("coordinator"))
        for row in self.coordinator.horizons():
            self.tables.apply((row,))
        self.sizes: list[int] = []
        self.error: CountersignError | None = None
        self.first_is_here = Event()
        self.go_on = Event()
        self._lock = Lock()

    def apply(self, batch: Sequence[Mutation]) -> None:
        """Apply a batch; the first one waits, and of several decisions one fails with `error`, if there is one."""
        with self._lock:
            self.sizes.append(sum(1 for mutation in batch if not isinstance(mutation, Check)))
            is_first = len(self.sizes) == 1
        if is_first:
            self.first_is_here.set()
            assert self.go_on.wait(PATIENCE_S)
        if self.error is not None and self.sizes[-1] > 1:
            raise self.error
        self.tables.apply(batch)

    def state(self, transaction_id: str) -> object:
        row = self.tables.get(self.coordinator.lookup(transaction_id))
        return None if row is None else row["state"]


def ids(count: int, begun_ms: int = 1000) -> list[str]:
    return [f"{begun_ms:012x}{number:020x}" for number in range(count)]


def together(store: GatheringStore, batches: Sequence[Sequence[Mutation]]) -> list[CountersignError | None]:
    """Apply the first alone and all others meanwhile; what each was answered."""
    group = GroupDecisions(store.apply)

    def answer(batch: Sequence[Mutation]) -> CountersignError | None:
        try:
            group.apply(batch)
        except CountersignError as error:
            return error
        return None

    with ThreadPoolExecutor(len(batches)) as pool:
        first = pool.submit(answer, batches[0])
        assert store.first_is_here.wait(PATIENCE_S)
        others = [pool.submit(answer, batch) for batch in batches[1:]]
        waiting = Event()
        while len(group._waiting) < len(others):
            waiting.wait(0.001)
        store.go_on.set()
        return [first.result(PATIENCE_S), *(future.result(PATIENCE_S) for future in others)]


def test_who_comes_meanwhile_shares_one_batch() -> None:
    """Forty decisions take two batches; every row is there."""
    store = GatheringStore()
    decisions = [store.coordinator.decision("home", name, COMMITTED, 2000) for name in ids(40)]
    assert together(store, decisions) == [None] * 40
    assert store.sizes == [1, 39]
    assert all(store.state(name) == COMMITTED for name in ids(40))


def test_a_refusal_is_told_to_the_one_it_is_about() -> None:
    """One is decided already: its batch is refused, all others are committed, each alone."""
    store = GatheringStore()
    names = ids(5)
    store.tables.apply(store.coordinator.decision("home", names[3], ABORTED, 1500))
    answers = together(store, [store.coordinator.decision("home", name, COMMITTED, 2000) for name in names])
    assert [type(answer) for answer in answers] == [type(None)] * 3 + [ConditionFailedError, type(None)]
    assert [store.state(name) for name in names] == [COMMITTED, COMMITTED, COMMITTED, ABORTED, COMMITTED]


@pytest.mark.parametrize("error", [UnknownOutcomeError("lost"), TableStoreUnavailableError("away")])
def test_an_answer_that_is_lost_is_lost_for_each(error: CountersignError) -> None:
    """Nobody is told that a decision stands, or that it does not, when that is not known; none is sent twice."""
    store = GatheringStore()
    store.error = error
    answers = together(store, [store.coordinator.decision("home", name, COMMITTED, 2000) for name in ids(4)])
    assert answers[0] is None
    assert all(answer is not None and answer.code == error.code for answer in answers[1:])
    assert store.sizes == [1, 3]


def test_the_strictest_gate_is_checked() -> None:
    """Of two decisions in one bucket the older one counts, and a commit's gate, which is never below the horizon."""
    coordinator = GatheringStore().coordinator
    older, newer = ids(1, begun_ms=1000)[0], ids(1, begun_ms=3000)[0]
    assert bucket(older) == bucket(newer)
    decisions = [[(older, ABORTED), (newer, COMMITTED)], [(newer, ABORTED), (older, COMMITTED)]]
    for pair in (*decisions, *(list(reversed(each)) for each in decisions)):
        batch = combined([coordinator.decision("home", *each, 5000) for each in pair])
        [check] = [mutation for mutation in batch if isinstance(mutation, Check)]
        assert isinstance(check.where, Comparison)
        assert (check.where.column, check.where.value) == (GATE, 1000)
        assert len(batch) == 3


def test_an_abort_beside_a_commit_passes_a_shut_gate() -> None:
    """A freeze refuses the commits of a batch; the aborts in it are done all the same."""
    store = GatheringStore()
    driver = ThreadDriver({"home": store.tables}, HotRecords())
    freeze = Freeze(store.coordinator, TransactionSettings(), "f" * 32)
    driver.run(freeze.hold(("home",)))
    first, aborted, committed = ids(3)
    states = {first: ABORTED, aborted: ABORTED, committed: COMMITTED}
    answers = together(store, [store.coordinator.decision("home", *pair, 2000) for pair in states.items()])
    assert [type(answer) for answer in answers] == [type(None), type(None), ConditionFailedError]
    assert [store.state(name) for name in states] == [ABORTED, ABORTED, None]
    driver.close()
