"""Mutations of a transaction, grouped into the batches that their stores apply atomically."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from storage.model.operations import Mutation
from storage.tables.port import Atomicity, Capabilities

_BATCH_MAX = 1000
"""Mutations in one batch, where the store has no smaller bound."""


class Batch(NamedTuple):
    """What one store applies at once."""

    store: str
    mutations: tuple[Mutation, ...]


def unit_of(mutation: Mutation, atomicity: Atomicity) -> object:
    """What two mutations must have in common to stand in one batch."""
    match atomicity:
        case Atomicity.STORE:
            return None
        case Atomicity.NAMESPACE:
            return mutation.table.namespace
        case Atomicity.TABLE:
            return mutation.table
        case Atomicity.PARTITION:
            return (mutation.table, mutation.key.partition)
        case Atomicity.RECORD:
            return (mutation.table, mutation.key)


def size_max(capabilities: Capabilities) -> int:
    """Mutations that fit one batch of a store."""
    return min(capabilities.batch_mutations_max or _BATCH_MAX, _BATCH_MAX)


def grouped(mutations: Iterable[tuple[str, Mutation]], stores: Mapping[str, Capabilities]) -> list[Batch]:
    """As few batches as the stores allow, all in one order for every transaction.

    The order by table and key makes the first of two transactions that meet win every record they both want, instead
    of one each.
    """
    groups: dict[tuple[str, object], list[Mutation]] = {}
    for store, mutation in sorted(mutations, key=lambda entry: (entry[0], entry[1].table, entry[1].key)):
        groups.setdefault((store, unit_of(mutation, stores[store].atomicity)), []).append(mutation)
    batches = []
    for (store, _), some in groups.items():
        size = size_max(stores[store])
        batches += [Batch(store, tuple(some[start : start + size])) for start in range(0, len(some), size)]
    return batches
