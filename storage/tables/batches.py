"""What every adapter checks of a batch before it sends anything."""

from collections.abc import Callable, Hashable, Sequence

from storage.model.checking import check_mutation
from storage.model.errors import InvalidOperationError
from storage.model.operations import Check, Mutation
from storage.model.schema import TableName, TableSchema
from storage.tables.port import Atomicity, Capabilities


def check_batch(
    schema_of: Callable[[TableName], TableSchema], batch: Sequence[Mutation], capabilities: Capabilities
) -> list[Mutation]:
    """Return the batch's mutations with every value in its one form.

    Raises:
        InvalidOperationError: `batch.empty`, `batch.same_row`, `batch.too_large`, `batch.beyond_unit`,
            `operation.unsupported` (a check for absence), or a mutation's own.
    """
    check_size(batch, capabilities)
    checked = [check_mutation(schema_of(mutation.table), mutation) for mutation in batch]
    if not capabilities.checks_absence and any(isinstance(m, Check) and m.absent for m in checked):
        raise InvalidOperationError("operation.unsupported", "this store cannot check that a row stays absent")
    if len(checked) > 1:
        _check_rows(checked, capabilities.atomicity)
    return checked


def check_size(batch: Sequence[Mutation], capabilities: Capabilities) -> None:
    """See that there is something to do, and not too much.

    Raises:
        InvalidOperationError: `batch.empty`, `batch.too_large`.
    """
    if not batch:
        raise InvalidOperationError("batch.empty")
    largest = capabilities.batch_mutations_max
    if largest is not None and len(batch) > largest:
        raise InvalidOperationError("batch.too_large", f"{len(batch)} mutations, at most {largest}")


def unit(mutation: Mutation, atomicity: Atomicity) -> Hashable:
    """What identifies the unit of atomicity in which a mutation's row is."""
    match atomicity:
        case Atomicity.STORE:
            return None
        case Atomicity.NAMESPACE:
            return mutation.table.namespace
        case Atomicity.TABLE:
            return mutation.table
        case Atomicity.PARTITION:
            return mutation.table, mutation.key.partition
        case Atomicity.RECORD:
            return mutation.table, mutation.key


def _check_rows(batch: Sequence[Mutation], atomicity: Atomicity) -> None:
    if len({(mutation.table, mutation.key) for mutation in batch}) < len(batch):
        raise InvalidOperationError("batch.same_row")
    if atomicity is not Atomicity.STORE and len({unit(mutation, atomicity) for mutation in batch}) > 1:
        raise InvalidOperationError("batch.beyond_unit", f"this store is atomic within one {atomicity.name.lower()}")
