"""A party's process: nothing is touched before the lock is held, and everything is given back, the lock last."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import CountersignError
from protocol.signing import SigningKey
from storage import signing_guard
from storage.errors import StoreAbsentError, StoreUnavailableError
from storage.memory_store import MemoryStore
from storage.signing_guard import FileSigningGuard
from streams import party_process
from streams.party_process import PartyName, PartyProcess, open_party
from streams.role_directory import RoleConfiguration
from streams.stop_signal import StopSignal
from tests.parties import key_of
from tests.worlds import World

Done = list[str]


class Closing:
    """Something that says when it is begun and closed."""

    def __init__(self, name: str, done: Done) -> None:
        self.name, self.done = name, done

    def start(self) -> None:
        self.done.append(f"{self.name} started")

    def close(self) -> None:
        self.done.append(f"{self.name} closed")


class Store(MemoryStore):
    done: Done

    def close(self) -> None:
        self.done.append("store closed")


class Role(RoleConfiguration):
    """A role of the world's ledger; its store does not answer so many times, or fails."""

    world: World
    done: Done
    away: int
    failing: Exception | None
    now: "Role | None"

    def again(self) -> "Role":
        return self.now or self

    def with_guard(self, guard_file: str) -> "Role":
        """The same with another guard."""
        made = replace(self, guard_file=guard_file)
        for name in ("world", "done", "away", "failing", "now"):
            object.__setattr__(made, name, getattr(self, name))
        return made

    def epochs(self) -> Any:
        return self.world.epochs

    def open_store(self) -> Any:
        assert self.done[-1] == "active", "a standby touches nothing"
        object.__setattr__(self, "away", self.away - 1)
        if self.away >= 0:
            raise StoreUnavailableError("away")
        if self.failing is not None:
            raise self.failing
        store = Store()
        store.done = self.done
        return store


@pytest.fixture
def role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Role:
    made = Role(directory=tmp_path, ledger_id="", public="")
    done: Done = []
    for name, value in {"world": World(), "done": done, "away": 0, "failing": None, "now": None}.items():
        object.__setattr__(made, name, value)
    agreed = made.epochs().latest
    monkeypatch.setattr(party_process, "engine_version", lambda: agreed.engine_version)
    monkeypatch.setattr(party_process, "engine_answers", lambda: agreed.engine_answers)
    monkeypatch.setattr(party_process, "KafkaLogWriter", lambda connection: None)
    monkeypatch.setattr(party_process, "MetricsPublisher", lambda *_: Closing("publisher", done))

    def executor(_: object, scale: int) -> Closing:
        done.append(f"executor of scale {scale}")
        return Closing("executor", done)

    def pool(threads: int) -> Closing:
        assert threads >= 1
        return Closing("pool", done)

    monkeypatch.setattr(party_process, "Executor", executor)
    monkeypatch.setattr(party_process, "SignaturePool", pool)
    close = FileSigningGuard.close

    def closed(guard: FileSigningGuard) -> None:
        done.append("guard closed")
        close(guard)

    monkeypatch.setattr(FileSigningGuard, "close", closed)
    return made


@contextmanager
def opened(role: Role, stop: StopSignal, name: PartyName = "ledger", key: SigningKey | None = None) -> Iterator[Any]:
    with open_party(name, role, lambda: key or key_of(name), stop, lambda: role.done.append("active")) as process:
        yield process


def is_locked(role: Role) -> bool:
    """Whether somebody holds the lock; it is taken and given back to find out."""
    mine = FileSigningGuard(role.path(role.guard_file), window=64)
    if not mine.acquire(wait=False):
        return True
    mine.close()
    role.done.pop()
    return False


@pytest.mark.parametrize(("name", "scale"), [("auditor", "1"), ("ledger", None)])
def test_all_is_given_back_in_the_order_that_is_safe(role: Role, name: PartyName, scale: str | None) -> None:
    """The next process may begin when the lock is free: by then this one has given up its store and all else."""
    scale = scale or str(role.epochs().limits.resources_factor)
    with opened(role, StopSignal(), name) as process:
        assert isinstance(process, PartyProcess)
        assert is_locked(role)
        assert role.done == ["active", f"executor of scale {scale}", "publisher started"]
        role.done.clear()
    assert role.done == ["pool closed", "publisher closed", "executor closed", "store closed", "guard closed"]
    assert not is_locked(role)


def test_a_crash_inside_gives_back_all_the_same(role: Role) -> None:
    """And shows."""
    with pytest.raises(ZeroDivisionError), opened(role, StopSignal()):
        raise ZeroDivisionError
    assert role.done[-2:] == ["store closed", "guard closed"]
    assert not is_locked(role)


@pytest.mark.parametrize("before", [True, False])
def test_a_standby_that_is_stopped_touches_nothing(
    role: Role, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it waits or while it does; the active one keeps its lock."""
    with opened(role, StopSignal()):
        role.done.clear()
        stop = StopSignal()
        if before:
            stop.request()
        else:
            on_request = stop.on_request

            def request_then(listener: Callable[[], None]) -> None:
                on_request(listener)
                stop.request()

            monkeypatch.setattr(stop, "on_request", request_then)
        with opened(role, stop) as process:
            assert process is None
        assert role.done == []
        assert is_locked(role)


class Standby:
    """A standby of the Ledger in a thread of its own.

    Attributes:
        key: what its key file holds.
        error: what it ended with.
        process: what it was given; None if it is not active yet, or never was.
    """

    def __init__(self, role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
        self._role = role
        self._tries = threading.Semaphore(0)
        self.key = key_of("ledger")
        self.error: CountersignError | None = None
        self.process: PartyProcess | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        try_lock = signing_guard._try_lock

        def counted(lock_file: int) -> bool:
            is_taken = try_lock(lock_file)
            self._tries.release()
            return is_taken

        monkeypatch.setattr(signing_guard, "_try_lock", counted)
        self._thread.start()

    def _run(self) -> None:
        active = partial(self._role.done.append, "active")
        try:
            with open_party("ledger", self._role, lambda: self.key, StopSignal(), active) as process:
                self.process = process
        except CountersignError as error:
            self.error = error

    def await_tries(self) -> None:
        """Wait until it has asked for the lock again."""
        for _ in range(2):
            assert self._tries.acquire(timeout=10), "it does not try again"

    def await_end(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_a_standby_takes_over_when_the_lock_is_free(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for that, and no process ends because another one is active."""
    with opened(role, StopSignal()):
        standby = Standby(role, monkeypatch)
        standby.await_tries()
        assert standby.process is None, "two are active at once"
    standby.await_end()
    assert standby.process is not None


@pytest.mark.parametrize("key", ["ledger", "other ledger"])
def test_a_standby_goes_by_the_epoch_of_its_take_over(role: Role, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waited through a change of epochs, or of keys too: what it signed by the old ones nobody would accept."""
    with opened(role, StopSignal()):
        standby = Standby(role, monkeypatch)
        standby.await_tries()
        role.world.begin_epoch(ledger=key, window=32)
        standby.key = key_of(key)
    standby.await_end()
    assert standby.process is not None
    assert standby.process.epochs.latest.epoch == 1
    assert standby.process.key.public_key == key_of(key).public_key
    assert standby.process.party.guard._entries._keep == signing_guard.KEEP_WINDOWS * 32  # type: ignore[attr-defined]


@pytest.mark.parametrize("is_key_new", [True, False])
def test_a_standby_whose_key_is_not_of_this_epoch_signs_nothing(
    role: Role, is_key_new: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of key and epoch changed without the other; and it gives the lock back."""
    with opened(role, StopSignal()):
        standby = Standby(role, monkeypatch)
        standby.await_tries()
        if is_key_new:
            standby.key = key_of("other ledger")
        else:
            role.world.begin_epoch(ledger="other ledger")
    standby.await_end()
    assert standby.error is not None
    assert standby.error.code == "config.invalid"
    assert role.done.count("active") == 1
    assert not is_locked(role)


def test_a_standby_heeds_its_file_as_it_is_then(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store may have moved, or the guard: the lock that counts is the one that the file names now."""
    with opened(role, StopSignal()):
        standby = Standby(role, monkeypatch)
        standby.await_tries()
        object.__setattr__(role, "now", role.with_guard("elsewhere/signing.guard"))
    standby.await_end()
    assert standby.process is not None
    assert standby.process.configuration.guard_file == "elsewhere/signing.guard"
    assert role.path("elsewhere/signing.guard").exists()


def test_a_store_that_is_away_is_waited_for_ever_more_slowly(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it answers."""
    pauses: list[float] = []
    stop = StopSignal()

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    monkeypatch.setattr(stop, "wait", wait)
    object.__setattr__(role, "away", 8)
    with opened(role, stop) as process:
        assert process.party.store is not None
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_whoever_waits_for_a_store_can_be_stopped(role: Role) -> None:
    """And gives the lock back."""
    object.__setattr__(role, "away", 1_000_000)
    stop = StopSignal()
    stop.request()
    (guard := role.path(role.guard_file)).parent.mkdir(parents=True)
    with opened(role, stop) as process:
        assert process is None
    assert role.done == ["active", "guard closed"]
    assert guard.exists()
    assert not is_locked(role)


def test_a_store_that_must_not_be_used_ends_it(role: Role) -> None:
    """It is not waited for, and the lock is given back."""
    object.__setattr__(role, "failing", StoreAbsentError("empty"))
    with pytest.raises(StoreAbsentError), opened(role, StopSignal()):
        pytest.fail("it has no store")
    assert role.done == ["active", "guard closed"]


@pytest.mark.parametrize(("name", "key"), [("auditor", "ledger"), ("ledger", "auditor"), ("ledger", "nobody")])
def test_the_key_of_somebody_else_is_refused(role: Role, name: PartyName, key: str) -> None:
    """Before the lock is asked for: whatever it signed would be evidence of nothing, or against the other party."""
    must_fail = pytest.raises(CountersignError, match=f"the key of the {name} is not")
    with must_fail, opened(role, StopSignal(), name, key_of(key)):
        pytest.fail("it must not begin")
    assert role.done == []
    assert not role.path(role.guard_file).exists()


@pytest.mark.parametrize(("differs", "answer"), [("engine_version", "other"), ("engine_answers", b"o" * 32)])
def test_another_engine_is_refused(
    role: Role, differs: str, answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its version, and by what it answers: parties with different engines would come to accuse each other."""
    monkeypatch.setattr(party_process, differs, lambda: answer)
    with pytest.raises(CountersignError) as caught, opened(role, StopSignal()):
        pytest.fail("it must not begin")
    assert caught.value.code == "engine.differs"
    assert role.done == []
