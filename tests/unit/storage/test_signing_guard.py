"""The signing guard's file: its form, what it survives, and who may use it."""

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from zlib import crc32

import pytest

from storage.errors import EquivocationError, GuardDamagedError, StoreDiskFullError
from storage.ports import GuardKind, Place
from storage.signing_guard import HEADER, FileSigningGuard, shares_device
from tests.guard_places import KEPT, WINDOW, chain, file_guard, opened, place


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

    def test_no_room_for_compaction_is_no_failure(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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

    def test_a_note_is_on_disk_before_it_returns(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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

    @pytest.mark.parametrize("count", [1, 100], ids=["appended", "compacted"])
    def test_who_lost_the_lock_writes_nothing_more(self, tmp_path: Path, count: int) -> None:
        """Its lock's file was removed and another one wrote: it refuses, though it could go on by its own memory."""
        zombie = opened(tmp_path)
        zombie.note([place(0)])
        (tmp_path / "guard.lock").unlink()
        active = opened(tmp_path)
        active.note(chain(1, count))
        with pytest.raises(EquivocationError):
            zombie.note([place(1)])
        with pytest.raises(GuardDamagedError):
            zombie.note([place(1)])
        zombie.close()
        active.note([place(count + 1)])
        active.close()
        assert opened(tmp_path).highest("order") == place(count + 1)

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

        threads = [threading.Thread(target=work, args=(kind,)) for kind in ("order", "statement", "rejections")]
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
