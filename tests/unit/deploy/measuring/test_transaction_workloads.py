"""The workloads of the transaction benchmark: reproducible, within bounds, and skewed as they say."""

from collections import Counter
from itertools import islice

import pytest

from deploy.measuring.transactions.workloads import Action, Workload, tasks

RECORDS = 1000


@pytest.mark.parametrize("workload", list(Workload))
def test_the_same_seed_gives_the_same_tasks(workload: Workload) -> None:
    """Records are within bounds and distinct within a task; another seed gives others."""
    first, again, other = (
        list(islice(tasks(workload, RECORDS, hot=False, parts=1, seed=seed), 500)) for seed in (1, 1, 2)
    )
    assert first == again != other
    for task in first:
        numbers = [access.number for access in task]
        assert len(set(numbers)) == len(numbers) == 2
        assert all(0 <= number < RECORDS for number in numbers)


@pytest.mark.parametrize("hot", [False, True])
@pytest.mark.parametrize("parts", [1, 2])
def test_transfers_move_money_between_the_parts(hot: bool, parts: int) -> None:
    """What one loses the other gets; of two parts, one account is in each; a hot account gives always."""
    numbers = Counter[int]()
    for giver, taker in islice(tasks(Workload.TRANSFER, RECORDS, hot=hot, parts=parts, seed=1), 2000):
        assert giver.value == -int(taker.value)
        assert parts == 1 or (giver.number % 2, taker.number % 2) == (0, 1)
        assert not hot or giver.number == 0
        numbers[taker.number] += 1
    assert len(numbers) > RECORDS / parts / 2
    assert numbers.most_common(1)[0][1] < 30


@pytest.mark.parametrize(
    ("workload", "action", "share"),
    [(Workload.YCSB_A, Action.WRITE, 0.5), (Workload.YCSB_C, Action.WRITE, 0), (Workload.YCSB_F, Action.MODIFY, 0.5)],
)
def test_ycsb_reads_and_writes_in_its_shares(workload: Workload, action: Action, share: float) -> None:
    """And the most popular record is used far more often than others."""
    accesses = [one for task in islice(tasks(workload, RECORDS, hot=False, parts=1, seed=1), 3000) for one in task]
    actions = Counter(access.action for access in accesses)
    assert actions[action] / len(accesses) == pytest.approx(share, abs=0.03)
    assert actions[action] + actions[Action.READ] == len(accesses)
    popular = Counter(access.number for access in accesses).most_common()
    assert popular[0][1] > 20 * popular[len(popular) // 2][1]
