"""Slow twins of the isolation checks: every way in which a small history could have come about is tried."""

from collections.abc import Iterator
from itertools import permutations

from streams.transaction_simulation.history import BEGINNING, History, Item, Read, Scan, Transaction, Write

State = dict[Item, str | None]


def is_strictly_serializable(history: History) -> bool:
    """Whether some serial run, in real time, gives every answer and every order of versions."""
    return any(
        _in_real_time(run) and _orders_fit(history, run) and _replays(history, run)
        for run in permutations(history.committed)
    )


def is_snapshot_isolated(history: History) -> bool:
    """Whether some placing of a snapshot and a commit for each gives every answer and every order of versions."""
    return any(_commits_from_snapshots(history, moments) for moments in _placings(history.committed))


def _in_real_time(run: tuple[Transaction, ...]) -> bool:
    return not any(
        later.ended_at is not None and later.ended_at < earlier.began_at
        for place, earlier in enumerate(run)
        for later in run[place + 1 :]
    )


def _orders_fit(history: History, run: tuple[Transaction, ...]) -> bool:
    return all(
        [version.transaction for version in history.versions(item) if version.transaction != BEGINNING]
        == [transaction.name for transaction in run if item in transaction.written()]
        for item in history.order
    )


def _beginning(history: History) -> State:
    return {item: history.versions(item)[0].stamp for item in history.order}


def _replays(history: History, run: tuple[Transaction, ...]) -> bool:
    state = _beginning(history)
    for transaction in run:
        if not _answers(transaction, dict(state)):
            return False
        state.update(transaction.written())
    return True


def _answers(transaction: Transaction, state: State) -> bool:
    for operation in transaction.operations:
        match operation:
            case Write(item, stamp):
                state[item] = stamp
            case Read(item, stamp):
                if state.get(item) != stamp:
                    return False
            case Scan():
                found = {item: held for item, held in state.items() if held and operation.matches(item, held)}
                if found != operation.found:
                    return False
    return True


def _placings(transactions: list[Transaction]) -> Iterator[tuple[tuple[Transaction, bool], ...]]:
    """Every order of snapshots (False) and commits (True)."""
    if not transactions:
        yield ()
        return
    first, *rest = transactions
    for placing in _placings(rest):
        for start in range(len(placing) + 1):
            for end in range(start, len(placing) + 1):
                yield (*placing[:start], (first, False), *placing[start:end], (first, True), *placing[end:])


def _commits_from_snapshots(history: History, moments: tuple[tuple[Transaction, bool], ...]) -> bool:
    state = _beginning(history)
    commits = [transaction for transaction, is_commit in moments if is_commit]
    place = {(transaction.name, is_commit): at for at, (transaction, is_commit) in enumerate(moments)}
    for one in commits:
        for other in commits:
            had_ended = one.ended_at is not None and one.ended_at < other.began_at
            if had_ended and place[one.name, True] > place[other.name, False]:
                return False
            if one is not other and one.written().keys() & other.written().keys():
                at_a_time = place[one.name, False] < place[other.name, True]
                if at_a_time and place[other.name, False] < place[one.name, True]:
                    return False
    if not _orders_fit(history, tuple(commits)):
        return False
    for transaction, is_commit in moments:
        if is_commit:
            state.update(transaction.written())
        elif not _answers(transaction, dict(state)):
            return False
    return True
