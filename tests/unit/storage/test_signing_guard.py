"""The signing guard: its rule, on disk and in memory alike, and what its file survives."""

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest

from protocol.hashing import ZERO_HASH
from storage.errors import EquivocationError, GuardDamagedError, StoreDiskFullError
from storage.memory_guard import MemoryGuard, MemoryGuardDisk
from storage.ports import GuardKind, Place, SigningGuard
from storage.signing_guard import HEADER, FileSigningGuard, shares_device

WINDOW = 2
KEPT = 4 * WINDOW

Open = Callable[[], SigningGuard]


def hash_of(sequence: int, epoch: int = 0, salt: int = 0) -> bytes:
    return b"%010d%010d%012d" % (sequence, epoch, salt)


def place(sequence: int, epoch: int = 0, kind: GuardKind = "order") -> Place:
    """A place in a chain that begins at 0."""
    previous = hash_of(sequence - 1, epoch) if sequence else ZERO_HASH
    return Place(kind, epoch, sequence, hash_of(sequence, epoch), previous)


def chain(first: int, last: int) -> list[Place]:
    return [place(sequence) for sequence in range(first, last + 1)]


@pytest.fixture(params=["memory", "file"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens a guard on the same disk again, after the process that had it has crashed."""
    disk = MemoryGuardDisk(window=WINDOW)
    opened: list[SigningGuard] = []

    def again() -> SigningGuard:
        for guard in opened:
            guard.close()
        guard = (
            MemoryGuard(disk)
            if request.param == "memory"
            else FileSigningGuard(tmp_path / "guard", window=WINDOW)
        )
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


def file_guard(directory: Path) -> FileSigningGuard:
    return FileSigningGuard(directory / "guard", window=WINDOW)


def opened(directory: Path) -> FileSigningGuard:
    guard = file_guard(directory)
    assert guard.acquire(wait=False)
    return guard


class TestFile:
    def test_its_form(self, tmp_path: Path) -> None:
        """The bytes on disk are as the module says, and stay so."""
        guard = opened(tmp_path)
        guard.note([Place("statement", 1, 258, b"h" * 32, b"p" * 32)])
        payload = bytes([1]) + (1).to_bytes(8, "big") + (258).to_bytes(8, "big") + b"h" * 32 + b"p" * 32
        content = (tmp_path / "guard").read_bytes()
        head = (81).to_bytes(4, "big") + crc32(payload).to_bytes(4, "big")
        assert content == b"countersign-guard-1\n" + head + crc32(head).to_bytes(4, "big") + payload
        guard.close()

    def test_only_its_owner_may_read_it(self, tmp_path: Path) -> None:
        """Mode 0600, for the file, after compaction, and for the lock."""
        guard = opened(tmp_path)
        for sequence in range(100):
            guard.note([place(sequence)])
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        guard.close()

    def test_it_stays_small(self, tmp_path: Path) -> None:
        """Compaction keeps the file within a few times what it has to hold, and leaves nothing beside it."""
        guard = opened(tmp_path)
        sizes = []
        for sequence in range(1_000):
            guard.note([place(sequence), place(sequence, kind="statement")])
            sizes.append((tmp_path / "guard").stat().st_size)
        assert max(sizes) < 8 * KEPT * 100 + 1_000
        assert {file.name for file in tmp_path.iterdir()} == {"guard", "guard.lock"}
        guard.close()

    def test_a_torn_tail_is_cut_off(self, tmp_path: Path) -> None:
        """Wherever a crash tears the last frame, what came before is whole, and the guard goes on."""
        guard = opened(tmp_path)
        guard.note(chain(0, 1))
        before = (tmp_path / "guard").stat().st_size
        guard.note(chain(2, 4))
        guard.close()
        whole = (tmp_path / "guard").read_bytes()
        for size in range(before, len(whole)):
            for tail in (b"", bytes(len(whole) - size)):
                (tmp_path / "guard").write_bytes(whole[:size] + tail)
                guard = opened(tmp_path)
                assert guard.highest("order") == place(1)
                assert (tmp_path / "guard").stat().st_size == before
                guard.note(chain(2, 4))
                guard.close()
                assert (tmp_path / "guard").read_bytes() == whole

    def test_damage_before_the_end_is_refused(self, tmp_path: Path) -> None:
        """A changed bit anywhere but in the last frame: it does not open, rather than forget."""
        guard = opened(tmp_path)
        guard.note(chain(0, 1))
        guard.note(chain(2, 2))
        middle = (tmp_path / "guard").stat().st_size
        guard.note(chain(3, 3))
        guard.close()
        whole = (tmp_path / "guard").read_bytes()
        for at in range(middle):
            damaged = bytearray(whole)
            damaged[at] ^= 0x10
            (tmp_path / "guard").write_bytes(damaged)
            with pytest.raises(GuardDamagedError):
                file_guard(tmp_path).acquire(wait=False)
        (tmp_path / "guard").write_bytes(whole)
        opened(tmp_path).close()

    @pytest.mark.parametrize("content", [b"", b"countersign-guard-2\n", HEADER[:5]])
    def test_another_file_is_refused(self, tmp_path: Path, content: bytes) -> None:
        """Never taken for an empty guard: a guard is made with its header or not at all."""
        (tmp_path / "guard").write_bytes(content)
        with pytest.raises(GuardDamagedError):
            file_guard(tmp_path).acquire(wait=False)

    def test_a_full_disk_refuses_and_goes_on_when_there_is_room(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Half a frame that was written is taken back."""
        guard = opened(tmp_path)
        guard.note([place(0)])
        before = (tmp_path / "guard").read_bytes()
        write = os.pwrite

        def full(file: int, data: bytes, at: int) -> int:
            if len(data) < 50:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(file, data[:50], at)

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(StoreDiskFullError):
                guard.note([place(1)])
        assert (tmp_path / "guard").read_bytes() == before
        assert guard.highest("order") == place(0)
        guard.note([place(1)])
        guard.close()
        assert opened(tmp_path).highest("order") == place(1)

    def test_no_room_for_compaction_is_no_failure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The old file serves on; nothing that was noted is lost."""
        guard = opened(tmp_path)
        sync = os.fsync

        def full(file: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        guard.note(chain(0, 99))
        assert {file.name for file in tmp_path.iterdir()} == {"guard", "guard.lock"}
        monkeypatch.setattr(os, "fsync", sync)
        guard.note(chain(100, 101))
        guard.close()
        assert opened(tmp_path).entry("order", 0, 100) == place(100)

    @pytest.mark.parametrize("call", ["fdatasync", "pwrite"])
    def test_a_failing_disk_ends_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        """After a failed sync nobody knows what is on disk: nothing more is noted, so nothing is signed."""
        guard = opened(tmp_path)
        guard.note([place(0)])

        def failing(*_: object) -> int:
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing)
            with pytest.raises(GuardDamagedError):
                guard.note([place(1)])
        with pytest.raises(GuardDamagedError):
            guard.note([place(1)])
        guard.close()

    def test_a_note_is_on_disk_before_it_returns(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One sync for several places, after their write; none when there is nothing new."""
        guard = opened(tmp_path)
        calls: list[str] = []

        def recorded(name: str) -> None:
            real = getattr(os, name)

            def call(*arguments: object) -> object:
                calls.append(name)
                return real(*arguments)

            monkeypatch.setattr(os, name, call)

        recorded("pwrite")
        recorded("fdatasync")
        guard.note(chain(0, 5))
        guard.note(chain(3, 5))
        assert calls == ["pwrite", "fdatasync"]
        guard.close()

    def test_device(self, tmp_path: Path) -> None:
        """Whether a guard lies beside its store can be told."""
        (tmp_path / "store").mkdir()
        opened(tmp_path).close()
        assert shares_device(tmp_path / "guard", tmp_path / "store")
        assert not shares_device(tmp_path / "guard", Path("/proc"))


class TestProcesses:
    def test_a_standby_waits_until_the_active_process_is_killed(self, tmp_path: Path) -> None:
        """Killed outright amid notes: the standby gets the lock, and every acknowledged note is there."""
        program = textwrap.dedent("""
            import sys
            from pathlib import Path
            from storage.ports import Place
            from storage.signing_guard import FileSigningGuard
            guard = FileSigningGuard(Path(sys.argv[1]), window=2)
            assert guard.acquire(wait=True)
            last, n = bytes(32), 0
            while True:
                own = b"%032d" % n
                guard.note([Place("order", 0, n, own, last)])
                print(n, flush=True)
                last, n = own, n + 1
        """)
        for round_ in range(3):
            guard_path = tmp_path / f"guard-{round_}"
            active = subprocess.Popen(
                [sys.executable, "-c", program, str(guard_path)],
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path.cwd(),
            )
            assert active.stdout is not None
            acknowledged = [int(active.stdout.readline()) for _ in range(50 + 37 * round_)]
            standby = FileSigningGuard(guard_path, window=WINDOW)
            assert not standby.acquire(wait=False)
            waiting = threading.Thread(target=standby.acquire, args=(True,))
            waiting.start()
            active.send_signal(signal.SIGKILL)
            acknowledged += [int(line) for line in active.stdout if line.endswith("\n")]
            active.wait()
            active.stdout.close()
            waiting.join(10)
            highest = standby.highest("order")
            assert highest is not None
            assert highest.sequence in (acknowledged[-1], acknowledged[-1] + 1)
            standby.close()

    def test_a_waiting_standby_can_be_stopped(self, tmp_path: Path) -> None:
        """It ends without the lock, and the active one keeps it."""
        active, standby = opened(tmp_path), file_guard(tmp_path)
        answers: list[bool] = []
        waiting = threading.Thread(target=lambda: answers.append(standby.acquire(wait=True)))
        waiting.start()
        standby.stop()
        waiting.join(10)
        assert answers == [False]
        active.note([place(0)])
        active.close()

    def test_threads_of_one_process_share_it(self, tmp_path: Path) -> None:
        """Two machines of one party note at once; each kind's chain stays whole."""
        guard = opened(tmp_path)

        def work(kind: GuardKind) -> None:
            for sequence in range(200):
                guard.note([place(sequence, kind=kind)])

        threads = [
            threading.Thread(target=work, args=(kind,)) for kind in ("order", "statement", "rejections")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        guard.close()
        again = opened(tmp_path)
        kinds: tuple[GuardKind, ...] = ("order", "statement", "rejections")
        for kind in kinds:
            assert again.highest(kind) == place(199, kind=kind)
        again.close()
