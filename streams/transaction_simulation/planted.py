"""Bugs planted on purpose: each switches one protection off, to see that the simulation finds out.

The core and its world meet in storage calls and their answers only, so most missing protections are a change of what is
asked, or of what is told. Only the validation is switched off within the core.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from protocol.errors import CountersignError
from storage.model.operations import Delete, Insert, Key, Mutation, Row, Update, Upsert
from storage.model.predicates import AllOf
from storage.tables.errors import ConditionFailedError, StoreContendedError, UnknownOutcomeError
from storage.transactions.effects import Apply, Pull, Read, StorageCall
from storage.transactions.identifiers import bucket
from storage.transactions.layout import ABORTED, COMMITTED, DELETED, PREPARED, TX_ID, TX_STATE
from storage.transactions.transaction import TransactionCore
from streams.transaction_simulation.founding import coordinator_table

_COORDINATOR = coordinator_table()


def _as_asked(call: StorageCall) -> StorageCall | None:
    return call


def _as_told(call: StorageCall, answer: Any) -> Any:
    return answer


def _as_made(core: TransactionCore) -> None:
    """Nothing is changed in a core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """A protection that is switched off.

    Attributes:
        what: in a sentence.
        ask: what becomes of a call; None: it is not made, and answered as if it had been.
        answer: what becomes of its answer, or its error.
        make: what becomes of a new transaction core.
    """

    what: str
    ask: Callable[[StorageCall], StorageCall | None] = _as_asked
    answer: Callable[[StorageCall, Any], Any] = _as_told
    make: Callable[[TransactionCore], None] = _as_made


# --- What mutations are for ---


def _state(mutation: Mutation) -> object:
    """The state that a mutation gives its row."""
    return mutation.values.get(TX_STATE) if isinstance(mutation, Insert | Update) else None


def _is_prepare(mutation: Mutation) -> bool:
    return _state(mutation) in (PREPARED, DELETED)


def _is_final(mutation: Mutation) -> bool:
    """Whether it writes a record in one phase."""
    if mutation.table == _COORDINATOR or _is_back(mutation) or _is_forward(mutation):
        return False
    return isinstance(mutation, Delete) or _state(mutation) == COMMITTED


def _held_in(mutation: Mutation) -> object:
    """The prepared state that a mutation ends; None: it ends none."""
    where = mutation.where if isinstance(mutation, Update | Delete) else None
    return where.parts[1].value if isinstance(where, AllOf) else None  # type: ignore[union-attr]


def _is_back(mutation: Mutation) -> bool:
    state = _held_in(mutation)
    if isinstance(mutation, Delete):
        return state == PREPARED
    return state is not None and isinstance(mutation, Update) and TX_ID in mutation.values


def _is_forward(mutation: Mutation) -> bool:
    return _held_in(mutation) is not None and not _is_back(mutation)


def _decides(mutation: Mutation, state: int) -> bool:
    return isinstance(mutation, Insert) and mutation.table == _COORDINATOR and mutation.values.get("state") == state


# --- Bugs ---


def _unconditional(is_meant: Callable[[Mutation], bool]) -> Callable[[StorageCall], StorageCall]:
    """These mutations are done whatever is there."""

    def loosen(mutation: Mutation) -> Mutation:
        if not is_meant(mutation):
            return mutation
        if isinstance(mutation, Insert):
            return Upsert(table=mutation.table, key=mutation.key, values=mutation.values)
        assert isinstance(mutation, Update | Delete)
        return replace(mutation, where=None)

    def ask(call: StorageCall) -> StorageCall:
        return call._replace(batch=tuple(map(loosen, call.batch))) if isinstance(call, Apply) else call

    return ask


def _not_made(is_meant: Callable[[Mutation], bool]) -> Callable[[StorageCall], StorageCall | None]:
    """Calls with such a mutation are not made."""

    def ask(call: StorageCall) -> StorageCall | None:
        return None if isinstance(call, Apply) and any(map(is_meant, call.batch)) else call

    return ask


def _without_marker(call: StorageCall) -> StorageCall:
    """What is committed in one phase leaves no row of its decision."""
    if not isinstance(call, Apply) or not any(map(_is_final, call.batch)):
        return call
    return call._replace(batch=tuple(mutation for mutation in call.batch if mutation.table != _COORDINATOR))


def _collected_early(call: StorageCall) -> StorageCall:
    """Instead of committing its records the decision's row is removed."""
    if not isinstance(call, Apply) or not all(map(_is_forward, call.batch)):
        return call
    first = call.batch[0]
    assert isinstance(first, Update | Delete)
    holder = first.where.parts[0].value  # type: ignore[union-attr]
    assert isinstance(holder, str)
    gone = Delete(table=_COORDINATOR, key=Key((bucket(holder),), (holder,)))
    return call._replace(store="a", batch=(gone,))


def _prepared_is_committed(call: StorageCall, answer: Any) -> Any:
    """Whoever reads a prepared row takes it for committed."""
    if not isinstance(call, Read | Pull) or not isinstance(answer, list):
        return answer
    return [*map(_seen_committed, answer)]


def _seen_committed(row: Row | None) -> Row | None:
    return {**row, TX_STATE: COMMITTED} if row is not None and row.get(TX_STATE) == PREPARED else row


def _taken_for(error: type[CountersignError], taken: CountersignError | None) -> Callable[[StorageCall, Any], Any]:
    """An error of a decision is taken for something else."""

    def answer(call: StorageCall, given: Any) -> Any:
        decides = isinstance(call, Apply) and any(_decides(mutation, COMMITTED) for mutation in call.batch)
        return taken if decides and isinstance(given, error) else given

    return answer


def _unvalidated(core: TransactionCore) -> None:
    def validate(*records: object) -> Iterator[Any]:
        yield from ()

    core.phases._validation.validate = validate  # type: ignore[assignment,method-assign]


PLANTED: dict[str, Bug] = {
    "prepared unconditionally": Bug(
        what="A record is prepared whoever wrote it last.", ask=_unconditional(_is_prepare)
    ),
    "validation skipped": Bug(what="Nobody looks again at what was read.", make=_unvalidated),
    "committed unconditionally": Bug(
        what="A commit is written over an abort.", ask=_unconditional(lambda one: _decides(one, COMMITTED))
    ),
    "aborted unconditionally": Bug(
        what="An abort is written over a commit.", ask=_unconditional(lambda one: _decides(one, ABORTED))
    ),
    "abort not durable": Bug(
        what="A before-image is given back before the abort is durable.",
        ask=_not_made(lambda one: _decides(one, ABORTED)),
    ),
    "rolled back unconditionally": Bug(
        what="A record is brought back whoever holds it by now.", ask=_unconditional(_is_back)
    ),
    "brought forward unconditionally": Bug(
        what="A record is brought forward though another has prepared it again.", ask=_unconditional(_is_forward)
    ),
    "one phase without a marker": Bug(
        what="A commit in one phase leaves nothing to be looked up.", ask=_without_marker
    ),
    "one phase unconditionally": Bug(
        what="A commit in one phase overwrites what was written since it was read.", ask=_unconditional(_is_final)
    ),
    "collected early": Bug(
        what="The row of a decision is removed while its records are prepared.", ask=_collected_early
    ),
    "dirty reads": Bug(what="A prepared row is taken for committed.", answer=_prepared_is_committed),
    "refusal taken for success": Bug(
        what="A decision that was refused is taken for made.", answer=_taken_for(ConditionFailedError, None)
    ),
    "silence taken for success": Bug(
        what="A decision without an answer is taken for made.", answer=_taken_for(UnknownOutcomeError, None)
    ),
    "silence taken for failure": Bug(
        what="A decision without an answer is taken for not made.",
        answer=_taken_for(UnknownOutcomeError, StoreContendedError()),
    ),
}
"""Every bug that can be planted, by name."""
