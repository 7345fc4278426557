"""A cell is watched without asking the store over and over, and no change is missed."""

import threading
import time

import pytest

from storage.memory_store import MemoryStore
from storage.ports import Contents, StoreCall
from streams.cell_watch import CellWatch

WAIT_MS = 30_000


class Store(MemoryStore):
    """A store in which something changes just when it has been read."""

    def __init__(self, watch: CellWatch, times: int = 1) -> None:
        super().__init__()
        self.create(bytes(32))
        self.loads = 0
        self._watch = watch
        self._times = times

    def load(self) -> Contents:
        contents = super().load()
        self.loads += 1
        if self.loads <= self._times:
            value = b"new" if self.loads == self._times else b"old"
            self.apply(StoreCall(expected_cells={}, cells={"decided": value}))
            self._watch.changed()
        return contents


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by himself."""
    monkeypatch.setattr("streams.cell_watch._LOOK_S", 60.0)


def test_a_change_between_the_look_and_the_wait() -> None:
    """It is seen at once; a change of something else ends no wait."""
    watch = CellWatch()
    store = Store(watch, times=3)
    began = time.monotonic()
    assert watch.wait(store, "decided", b"old", 0, lambda: False)["store_id"] == bytes(32)
    cells = watch.wait(store, "decided", b"old", WAIT_MS, lambda: False)
    assert cells["decided"] == b"new"
    assert time.monotonic() - began < WAIT_MS / 2_000


def test_who_gives_up_is_asked_when_something_changes() -> None:
    """A stage that is to stop waits no longer."""
    watch, give_up = CellWatch(), threading.Event()
    store = Store(watch, times=0)
    ended = threading.Event()

    def wait() -> None:
        watch.wait(store, "decided", b"", WAIT_MS, give_up.is_set)
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    give_up.set()
    for _ in range(1_000):
        watch.changed()
        if ended.wait(0.01):
            return
    raise AssertionError("it waits on")
