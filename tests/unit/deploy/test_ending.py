"""A command that is told to end does, once, also where the exception that says so is swallowed."""

import importlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.ending import ended_in_order
from tests.heard_signals import heard_signals

SWALLOWS = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.05)
except:
    pass
"""

_LONG_S = 5


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """However these tests are run."""
    with heard_signals():
        yield


def code_of(work: Callable[[], object]) -> object:
    """The exit code of a command that is told to end while it works."""
    try:
        with ended_in_order():
            work()
            time.sleep(_LONG_S)
    except SystemExit as ended:
        return ended.code
    return None


ENDINGS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]


@pytest.mark.parametrize("number", ENDINGS)
def test_it_ends(number: signal.Signals) -> None:
    """The exit code says by what; afterwards all is as it was."""
    before = signal.getsignal(number)
    assert code_of(lambda: os.kill(os.getpid(), number)) == 128 + number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", ENDINGS)
def test_cleaning_up_is_not_interrupted(number: signal.Signals) -> None:
    """Whoever is impatient, Ctrl-C again and again, does not keep it from cleaning up."""
    cleaned: list[bool] = []

    def work() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(_LONG_S)
        finally:
            os.kill(os.getpid(), number)
            time.sleep(0.01)
            cleaned.append(True)

    assert code_of(work) == 128 + number
    assert cleaned


def test_a_package_swallows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is raised while a package is imported may be lost: it is raised when that is over."""
    (tmp_path / "package_that_swallows.py").write_text(SWALLOWS)
    monkeypatch.syspath_prepend(tmp_path)
    assert code_of(lambda: importlib.import_module("package_that_swallows")) == 143


def test_what_is_ignored_stays_so() -> None:
    """`nohup` is heeded."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_in_order():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGHUP, before)
