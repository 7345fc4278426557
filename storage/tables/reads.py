"""Reads that are made of the port's, for every adapter alike."""

from storage.model.errors import InvalidOperationError
from storage.model.operations import GetByIndex, Row, ScanByIndex
from storage.tables.port import TableStore


def get_by_index(store: TableStore, get: GetByIndex) -> Row | None:
    """Return the one row with a value in an indexed column, or None.

    Raises:
        InvalidOperationError: `index.ambiguous`: there are several; or the scan's own.
    """
    scan = ScanByIndex(table=get.table, column=get.column, value=get.value, projection=get.projection, limit=2)
    rows = list(store.scan(scan))
    if len(rows) > 1:
        raise InvalidOperationError("index.ambiguous", f"{get.table}.{get.column}")
    return rows[0] if rows else None
