"""Whoever ends a command that runs a ledger, by Ctrl-C, SIGTERM or a closed terminal, finds nothing left of it."""

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.heard_signals import heard_signals
from tests.pipeline import DEADLINE_S, await_that

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_TOKEN = "COUNTERSIGN_TEST_TOKEN"
_BENCH = ("bench", "transfer", "--seconds", "600", "--accounts", "100", "--json")
_DEMO = ("demo", "--json")


class Command:
    """A command of ours that runs, and every process that came of it."""

    def __init__(self, arguments: tuple[str, ...], home: Path) -> None:
        self._token = secrets.token_hex(16)
        self._home = home
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", *arguments, "--home", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, _TOKEN: self._token},
        )
        self.said = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def left(self) -> list[str]:
        """The processes that are there, by their command lines."""
        wanted = f"{_TOKEN}={self._token}".encode()
        found = []
        for directory in Path("/proc").iterdir():
            try:
                if wanted in (directory / "environ").read_bytes():
                    found.append((directory / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue  # no process, or not one of ours
        return [line for line in found if line]

    def end(self) -> None:
        """Give back what is left, its ledger as well, where it did not end by itself."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            subprocess.run([sys.executable, "-m", "deploy.cli", "down", "--home", str(self._home)], check=True)
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self.said += line


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """However these tests are run."""
    with heard_signals():
        yield


@pytest.fixture
def commands() -> Iterator[list[Command]]:
    started: list[Command] = []
    yield started
    for command in started:
        command.end()


@pytest.mark.parametrize(
    ("arguments", "moment", "number", "code"),
    [
        (_BENCH, "starting auditor-store", signal.SIGTERM, 143),
        (_BENCH, "waiting for learner", signal.SIGINT, 130),
        (_BENCH, "waiting for learner", signal.SIGHUP, 129),
        (_DEMO, "waiting for learner", signal.SIGTERM, 143),
    ],
)
def test_nothing_is_left(
    commands: list[Command],
    tmp_path: Path,
    arguments: tuple[str, ...],
    moment: str,
    number: signal.Signals,
    code: int,
) -> None:
    """Told while it starts, or while a load runs: it stops all it has started, and says by its exit code why."""
    command = Command(arguments, tmp_path / "home")
    commands.append(command)
    await_that(f"it says {moment!r}", lambda: moment in command.said, DEADLINE_S)
    command.process.send_signal(number)
    assert command.process.wait(DEADLINE_S) == code, command.said
    assert command.left() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_twice(commands: list[Command], tmp_path: Path, number: signal.Signals) -> None:
    """Who is impatient does not keep it from cleaning up."""
    command = Command(_BENCH, tmp_path / "home")
    commands.append(command)
    await_that("it has started", lambda: "waiting for auditor" in command.said, DEADLINE_S)
    for _ in range(3):
        command.process.send_signal(number)
        time.sleep(0.2)
    assert command.process.wait(DEADLINE_S) == 128 + number
    assert command.left() == []


def test_clients_that_are_being_started_do_not_hear_an_interrupt(tmp_path: Path) -> None:
    """A terminal sends Ctrl-C to all of them: the command alone answers, with one word."""
    words = ("bench", "transactions", "--store", "sqlite", "--processes", "2", "--accounts", "100", "--seconds", "60")
    bench = subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", *words, "--home", str(tmp_path), "--json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:

        def has_clients() -> bool:
            children = psutil.Process(bench.pid).children()
            try:
                return sum("spawn_main" in " ".join(each.cmdline()) for each in children) == 2
            except psutil.Error:  # one of them has ended
                return False

        await_that("its clients", has_clients)
        os.killpg(bench.pid, signal.SIGINT)
        _, said = bench.communicate(timeout=DEADLINE_S)
        assert bench.returncode == 130
        assert "Traceback" not in said
        assert said.endswith("interrupted\n")
    finally:
        bench.kill()
        bench.wait()
