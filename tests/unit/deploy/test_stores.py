"""A party's new store is made once, whole, and taken up where its making was cut off."""

from collections.abc import Callable

import pytest

from deploy.stores import create_auditor_store, create_ledger_store, is_filled
from protocol.configuration import Epochs
from storage.errors import StoreExistsError
from storage.memory_store import MemoryStore
from storage.ports import RecordStore
from tests.worlds import World

CREATE = (create_auditor_store, create_ledger_store)


@pytest.mark.parametrize("create", CREATE)
def test_what_was_made_and_not_filled_is_filled(create: Callable[[RecordStore, Epochs], None]) -> None:
    """And what is filled is nobody's new store."""
    epochs = World().epochs
    store = MemoryStore()
    assert not is_filled(store)
    store.create(epochs.latest.auditor_store_id)
    assert not is_filled(store)
    create(store, epochs)
    assert is_filled(store)
    with pytest.raises(StoreExistsError):
        create(store, epochs)


def test_another_s_store_is_not_the_auditor_s() -> None:
    """Half made or not: its configuration names the one that is."""
    store = MemoryStore()
    store.create(bytes(32))
    with pytest.raises(StoreExistsError):
        create_auditor_store(store, World().epochs)
