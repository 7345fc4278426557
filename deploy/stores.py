"""A party's new store: created once, with the genesis in it.

Each party's cells are made by its own package, which is imported only where that party's store is made: the
process of one party loads no code of the other.
"""

import secrets
from collections.abc import Mapping

from protocol.configuration import Epochs
from protocol.contracts.genesis import genesis_versions
from protocol.hashing import HASH_SIZE
from protocol.records import RecordKey
from storage.errors import StoreAbsentError, StoreExistsError
from storage.ports import RecordStore, RecordWrite, StoreCall, Stored


def create_auditor_store(store: RecordStore, epochs: Epochs) -> None:
    """Make an empty store the Auditor's, once: a lost one needs a new epoch. One made and not filled is filled.

    Raises:
        StoreExistsError: the server holds data.
    """
    from auditor.state import initial_cells

    store_id = epochs.latest.auditor_store_id
    if _cells(store).get("store_id") != store_id:
        store.create(store_id)
    _fill(store, epochs, store_id, initial_cells(epochs))


def create_ledger_store(store: RecordStore, epochs: Epochs) -> None:
    """Make an empty store the Ledger's; also the beginning of a rebuild. One that was made and not filled is filled.

    Raises:
        StoreExistsError: the server holds data.
    """
    from ledger.state import initial_cells

    store_id = _cells(store).get("store_id")
    if store_id is None:
        store_id = secrets.token_bytes(HASH_SIZE)
        store.create(store_id)
    _fill(store, epochs, store_id, initial_cells(epochs, store_id))


def is_filled(store: RecordStore) -> bool:
    """Whether a store was made a party's, and whole: perhaps by a process that was killed before it could note it."""
    return "head" in _cells(store)


def _cells(store: RecordStore) -> Mapping[str, bytes]:
    """All cells; none where nobody made the store."""
    try:
        return store.load().cells
    except StoreAbsentError:
        return {}


def _fill(store: RecordStore, epochs: Epochs, store_id: bytes, cells: dict[str, bytes]) -> None:
    records = [(RecordKey(record.namespace, record.key), record.value) for record in epochs.genesis.records]
    writes = tuple(RecordWrite(key, record) for key, record in genesis_versions(epochs.ledger_id, records))
    call = StoreCall(expected_cells={"store_id": store_id, "head": b""}, writes=writes, cells=cells)
    answer = store.apply(call)
    if not isinstance(answer, Stored):
        raise StoreExistsError("the server holds a party's records")
