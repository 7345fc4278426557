"""What is done in each transaction: money transfers, and the YCSB core workloads A, C and F.

Records are numbered; each has one value, a balance or a text. A task is what one transaction does to some of them; the
same seed gives the same tasks, to the manager and to the twin by hand.
"""

import random
from bisect import bisect_left
from collections.abc import Iterator
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple

BALANCE = 1_000_000
TEXT_CHARACTERS = 100
ACCESSES = 2
"""Records of one YCSB transaction."""

_SKEW = 0.99
"""Of the Zipf distribution, as YCSB has it."""

_SPREAD = 2_654_435_761
"""A prime that sends neighbours in popularity to distant records."""


class Workload(StrEnum):
    """What is sent."""

    TRANSFER = "transfer"
    YCSB_A = "ycsb-a"
    YCSB_C = "ycsb-c"
    YCSB_F = "ycsb-f"


class Action(StrEnum):
    """What is done to a record."""

    READ = "read"
    WRITE = "write"
    """Give it the value, without looking."""

    MODIFY = "modify"
    """Read it, then give it the value."""

    ADD = "add"
    """Read it, then give it what it had and the value."""


class Access(NamedTuple):
    """One record's part of a task."""

    action: Action
    number: int
    value: int | str


Task = tuple[Access, ...]
"""What one transaction does; no record is in it twice. All reads come first."""

_SHARES: dict[Workload, tuple[Action, float]] = {
    Workload.YCSB_A: (Action.WRITE, 0.5),
    Workload.YCSB_C: (Action.READ, 0.0),
    Workload.YCSB_F: (Action.MODIFY, 0.5),
}
"""What is done beside reading, and how often."""


def tasks(workload: Workload, records: int, *, hot: bool, parts: int, seed: int) -> Iterator[Task]:
    """Tasks without end.

    Args:
        records: how many there are.
        hot: every transfer takes from record 0.
        parts: of two, each transfer goes from one part (even numbers) to the other.
        seed: the same seed gives the same tasks.
    """
    if workload is Workload.TRANSFER:
        return _transfers(records, hot=hot, parts=parts, chance=random.Random(seed))
    return _accesses(workload, records, random.Random(seed))


def first_value(workload: Workload, number: int) -> int | str:
    """What a record holds in the beginning."""
    return BALANCE if workload is Workload.TRANSFER else f"{number:0{TEXT_CHARACTERS}d}"


def _transfers(records: int, *, hot: bool, parts: int, chance: random.Random) -> Iterator[Task]:
    while True:
        giver = 0 if hot else chance.randrange(records) // parts * parts
        taker = (giver + parts - 1 + parts * chance.randrange(1, records // parts)) % records
        amount = chance.randrange(1, 100)
        if taker != giver:
            yield Access(Action.ADD, giver, -amount), Access(Action.ADD, taker, amount)


def _accesses(workload: Workload, records: int, chance: random.Random) -> Iterator[Task]:
    weights = list(accumulate(1 / (rank + 1) ** _SKEW for rank in range(records)))
    action, share = _SHARES[workload]
    count = min(ACCESSES, records)
    while True:
        numbers: set[int] = set()
        while len(numbers) < count:
            rank = bisect_left(weights, chance.random() * weights[-1])
            numbers.add(rank * _SPREAD % records)
        task = []
        for number in sorted(numbers):
            if chance.random() < share:
                task.append(Access(action, number, f"{chance.getrandbits(64):0{TEXT_CHARACTERS}d}"))
            else:
                task.append(Access(Action.READ, number, ""))
        yield tuple(task)
