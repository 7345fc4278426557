"""The rule of the signing guard, on disk and in memory alike."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.errors import EquivocationError
from storage.memory_guard import MemoryGuard, MemoryGuardDisk
from storage.ports import Place, SigningGuard
from storage.signing_guard import FileSigningGuard
from tests.guard_places import KEPT, WINDOW, chain, file_guard, hash_of, place

Open = Callable[[], SigningGuard]


@pytest.fixture(params=["memory", "file"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens a guard on the same disk again, after the process that had it has crashed."""
    disk = MemoryGuardDisk(window=WINDOW)
    opened: list[SigningGuard] = []

    def again() -> SigningGuard:
        for guard in opened:
            guard.close()
        guard = MemoryGuard(disk) if request.param == "memory" else FileSigningGuard(tmp_path / "guard", window=WINDOW)
        assert guard.acquire(wait=False)
        opened.append(guard)
        return guard

    yield again
    for guard in opened:
        guard.close()


def now_and_after_a_crash(guard: SigningGuard, reopen: Open) -> Iterator[SigningGuard]:
    yield guard
    yield reopen()


class TestRule:
    def test_an_empty_guard(self, reopen: Open) -> None:
        """Nothing was signed yet."""
        guard = reopen()
        assert guard.highest("order") is None
        assert guard.entry("order", 0, 0) is None

    def test_noted_places_are_there_after_a_crash(self, reopen: Open) -> None:
        """By place and as the last of their kind; kinds are apart."""
        reopen().note([*chain(0, 2), place(7, kind="statement")])
        guard = reopen()
        assert guard.highest("order") == place(2)
        assert guard.highest("statement") == place(7, kind="statement")
        assert guard.highest("proposal") is None
        assert guard.entry("order", 0, 1) == place(1)
        assert guard.entry("order", 1, 1) is None
        assert guard.entry("statement", 0, 1) is None

    def test_the_same_again_is_no_second_signature(self, reopen: Open) -> None:
        """A message sent again is noted again, in any order, beside new ones."""
        guard = reopen()
        guard.note(chain(0, 3))
        guard.note([place(1), place(0), place(4), place(4), place(3)])
        assert guard.highest("order") == place(4)

    @pytest.mark.parametrize(
        "wrong",
        [
            place(3)._replace(hash=hash_of(3, salt=1)),
            place(1)._replace(hash=hash_of(1, salt=1)),
            place(5),
            place(5)._replace(previous_hash=hash_of(3)),
            place(4)._replace(previous_hash=hash_of(3, salt=1)),
            place(4)._replace(epoch=-1),
        ],
        ids=["second at the end", "second before", "gap", "chained gap", "other chain", "older epoch"],
    )
    def test_anything_else_is_refused(self, reopen: Open, wrong: Place) -> None:
        """Another hash, a gap, a chain that forks, an epoch that is over: now and after a crash."""
        guard = reopen()
        guard.note(chain(0, 3))
        for opened in now_and_after_a_crash(guard, reopen):
            with pytest.raises(EquivocationError) as caught:
                opened.note([wrong])
            assert caught.value.code == "guard.contradiction"
            assert opened.highest("order") == place(3)
            opened.note([place(3)])

    def test_all_places_of_a_call_or_none(self, reopen: Open) -> None:
        """One bad place keeps the good ones beside it from being noted."""
        guard = reopen()
        with pytest.raises(EquivocationError):
            guard.note([place(0), place(0, kind="statement"), place(2)])
        assert guard.highest("order") is None
        assert reopen().highest("statement") is None

    def test_two_hashes_for_one_place_in_one_call(self, reopen: Open) -> None:
        """The rule holds within a call as well."""
        with pytest.raises(EquivocationError):
            reopen().note([place(0), place(0)._replace(hash=hash_of(0, salt=1))])

    def test_the_first_entry_is_taken_as_it_comes(self, reopen: Open) -> None:
        """A lost guard begins again where its party is, and is strict from there."""
        guard = reopen()
        guard.note([place(100)])
        for wrong in (place(99), place(102)):
            with pytest.raises(EquivocationError):
                guard.note([wrong])
        guard.note([place(101)])

    def test_a_newer_epoch_uses_numbers_again(self, reopen: Open) -> None:
        """Above the cut; what the older epoch holds stays as it is, and is over."""
        guard = reopen()
        guard.note(chain(0, 5))
        guard.note([place(3, epoch=1), place(4, epoch=1)])
        assert guard.highest("order") == place(4, epoch=1)
        guard.note([place(5)])
        for wrong in (place(6), place(4, epoch=1)._replace(hash=hash_of(9)), place(6, epoch=1)):
            with pytest.raises(EquivocationError):
                guard.note([wrong])

    def test_what_is_no_longer_kept_is_refused(self, reopen: Open) -> None:
        """The last 4W of a kind are kept; below that nobody can know, so nothing is signed."""
        guard = reopen()
        guard.note([place(0, kind="configuration")])
        for sequence in range(100):
            guard.note([place(sequence)])
        for opened in now_and_after_a_crash(guard, reopen):
            assert [n for n in range(100) if opened.entry("order", 0, n)] == list(range(100 - KEPT, 100))
            assert opened.highest("configuration") == place(0, kind="configuration")
            opened.note([place(100 - KEPT)])
            with pytest.raises(EquivocationError):
                opened.note([place(100 - KEPT - 1)])

    def test_one_process_at_a_time(self, reopen: Open, tmp_path: Path) -> None:
        """Whoever holds the lock is active; the next one gets it when that one is gone."""
        first = reopen()
        first.note([place(0)])
        second = MemoryGuard(first._disk) if isinstance(first, MemoryGuard) else file_guard(tmp_path)
        assert not second.acquire(wait=False)
        first.close()
        assert second.acquire(wait=False)
        assert second.highest("order") == place(0)
        second.close()
