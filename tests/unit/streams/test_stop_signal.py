"""A process is told to end once, in time, wherever a signal finds it."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.stop_signal import StopSignal

ROOT = Path(__file__).parents[3]

INTERRUPTED = """
import os, signal, sys
from streams.stop_signal import StopSignal

class Signalling:
    # The lock of a wait, with a signal in the moment when it is held.
    def __init__(self, lock):
        self._lock = lock
        self._is_sent = False
    def __enter__(self):
        entered = self._lock.__enter__()
        if not self._is_sent:
            self._is_sent = True
            signal.raise_signal(getattr(signal, sys.argv[1]))
        return entered
    def __exit__(self, *error):
        return self._lock.__exit__(*error)
    def __getattr__(self, name):
        return getattr(self._lock, name)

stop = StopSignal(drain_s=float(sys.argv[2]))
told = []
stop.on_request(lambda: told.append(stop.requested))
stop.on_signals()
stop._requested._cond = Signalling(stop._requested._cond)
while not stop.wait(0.05):
    pass
while not told:
    pass
signal.raise_signal(signal.SIGTERM)  # the second of two changes nothing
print(stop.requested, stop.overdue, told)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize(("drain_s", "overdue"), [("60", False), ("0", True)])
def test_a_signal_in_the_midst_of_a_wait_is_heard(name: str, drain_s: str, overdue: bool) -> None:
    """A wait holds a lock for a moment: a handler that takes the same one would keep the process for ever."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, name, drain_s],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == f"True {overdue} [True]\n", done.stderr


def test_a_process_that_no_signal_ever_reaches_ends_by_itself() -> None:
    """What waits for signals does not keep it."""
    program = "from streams.stop_signal import StopSignal; StopSignal().on_signals()"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=20, check=False).returncode == 0


def test_nobody_is_stopped_before_a_signal_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """To be ready for signals is to wait for one; and both of them ask."""
    handlers: dict[int, Callable[[int, None], None]] = {}
    monkeypatch.setattr("streams.stop_signal.signal.signal", handlers.__setitem__)
    for number in (signal.SIGTERM, signal.SIGINT):
        stop = StopSignal()
        stop.on_signals()
        assert not stop.wait(0.1)
        handlers[number](number, None)
        assert stop.wait(10)


def test_the_time_to_drain_begins_with_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks again does not put the end off, and nothing is overdue that nobody asked for."""
    now = 1000.0
    monkeypatch.setattr("streams.stop_signal.time.monotonic", lambda: now)
    stop = StopSignal(drain_s=5.0)
    assert (stop.requested, stop.overdue) == (False, False)
    stop.request()
    now = 1004.9
    stop.request()
    assert (stop.requested, stop.overdue) == (True, False)
    now = 1005.0
    assert stop.overdue


def test_a_wait_ends_with_the_request() -> None:
    """And says so; one that comes to its time says that nobody asked."""
    stop = StopSignal()
    assert not stop.wait(0.001)
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(stop.wait(600)))
    waiting.start()
    stop.request()
    waiting.join(10)
    assert answers == [True]


def test_whoever_listens_too_late_is_told_at_once() -> None:
    """A wait that begins after the end was asked for would never hear of it."""
    stop = StopSignal()
    told: list[str] = []
    stop.on_request(lambda: told.append("before"))
    assert told == []
    stop.request()
    stop.request()
    stop.on_request(lambda: told.append("after"))
    assert told == ["before", "after"]
