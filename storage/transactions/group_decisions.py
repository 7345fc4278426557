"""Decisions of concurrent transactions in one batch of the coordinator's store.

The first to come sends its own at once; those that come meanwhile wait, and the first of them then sends all that wait
together: nobody waits for a time. The rows are independent, so ids need no scheme and readers know nothing of it. If
a batch of several is refused each is sent alone; if its answer is lost it is lost for each.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event, Lock

from protocol.errors import CountersignError
from storage.model.operations import Check, Mutation
from storage.model.predicates import Comparison
from storage.tables.errors import ConditionFailedError
from storage.transactions.coordinator import GATE

_TOGETHER_MAX = 64

Batch = Sequence[Mutation]


class _Entry:
    __slots__ = ("batch", "error", "is_done", "woken")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.woken = Event()
        self.is_done = False
        self.error: CountersignError | None = None


class GroupDecisions:
    """Gathers decisions for one store.

    Args:
        apply: the store's.
        together_max: decisions in one batch.
    """

    def __init__(self, apply: Callable[[Batch], None], together_max: int = _TOGETHER_MAX) -> None:
        self._apply = apply
        self._together_max = together_max
        self._lock = Lock()
        self._waiting: list[_Entry] = []
        self._busy = False

    def apply(self, batch: Batch) -> None:
        """Apply one decision, perhaps with others; raises what the store raises about this one."""
        entry = _Entry(batch)
        with self._lock:
            leads = not self._busy
            if leads:
                self._busy = True
            else:
                self._waiting.append(entry)
        if not leads:
            entry.woken.wait()
        if not entry.is_done:
            self._lead(entry)
        if entry.error is not None:
            raise entry.error

    def _lead(self, first: _Entry) -> None:
        with self._lock:
            others = [entry for entry in self._waiting if entry is not first][: self._together_max - 1]
            taken = {id(entry) for entry in (first, *others)}
            self._waiting = [entry for entry in self._waiting if id(entry) not in taken]
        group = [first, *others]
        try:
            self._send(group)
        finally:
            for entry in others:
                entry.woken.set()
            with self._lock:
                if self._waiting:
                    self._waiting[0].woken.set()  # leads next
                else:
                    self._busy = False

    def _send(self, group: list[_Entry]) -> None:
        if len(group) > 1:
            try:
                self._apply(combined([entry.batch for entry in group]))
            except ConditionFailedError:
                pass  # one of them: each alone will tell
            except CountersignError as error:
                for entry in group:
                    entry.error, entry.is_done = error, True
                return
            else:
                for entry in group:
                    entry.is_done = True
                return
        for entry in group:
            try:
                self._apply(entry.batch)
            except CountersignError as error:
                entry.error = error
            entry.is_done = True


def combined(batches: Sequence[Batch]) -> list[Mutation]:
    """One batch of several decisions; of checks of the same gate the strictest stays.

    A gate is never below its horizon, so where an abort, which looks at the horizon, meets a commit, the gate
    is checked.
    """
    rows: list[Mutation] = []
    checks: dict[object, Check] = {}
    for batch in batches:
        for mutation in batch:
            if not isinstance(mutation, Check):
                rows.append(mutation)
                continue
            other = checks.get(mutation.key)
            checks[mutation.key] = mutation if other is None else _strictest(mutation, other)
    return [*rows, *checks.values()]


def _strictest(one: Check, other: Check) -> Check:
    """What holds if both hold: a horizon or gate is checked to be at most when the transaction began."""
    first, second = one.where, other.where
    assert isinstance(first, Comparison)
    assert isinstance(second, Comparison)
    assert isinstance(first.value, int)
    assert isinstance(second.value, int)
    column = first.column if first.column == second.column else GATE
    return replace(one, where=replace(first, column=column, value=min(first.value, second.value)))
