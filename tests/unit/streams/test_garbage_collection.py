"""A process of ours collects rarely; the process of the tests does so no longer than the test that asked for it."""

import gc
import subprocess
import sys
import weakref
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from streams.garbage_collection import collect_rarely
from tests.garbage import forget_what_is_kept, usual_collection

ROOT = Path(__file__).parents[3]


class _Cycle:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.own = self


def _left_behind() -> weakref.ref[_Cycle]:
    return weakref.ref(_Cycle())


def test_rarely_is_rarer_and_spares_what_was_there() -> None:
    """Its thresholds are higher, and what the process was made of is not looked at again."""
    before = gc.get_threshold()
    with usual_collection():
        frozen = gc.get_freeze_count()
        collect_rarely()
        assert gc.get_freeze_count() > frozen
        assert all(rare >= usual for rare, usual in zip(gc.get_threshold(), before, strict=True))
        assert gc.get_threshold()[0] > before[0]


def test_a_process_that_collects_rarely_ends_without_a_word() -> None:
    """DuckDB's module would list whatever is frozen as leaked: those would be the last lines of a learner's log."""
    program = (
        "import duckdb; connection = duckdb.connect(); connection.execute('SELECT 1').fetchall()\n"
        "from streams.garbage_collection import collect_rarely; collect_rarely()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_ends_with_the_test() -> None:
    """Thresholds are as before, and garbage that was frozen is collected after all."""
    before = gc.get_threshold()
    with usual_collection():
        lost = _left_behind()
        collect_rarely()
        gc.collect()
        assert lost() is not None
    gc.collect()
    assert gc.get_threshold() == before
    assert lost() is None


@cache
def _kept() -> _Cycle:
    return _Cycle()


def test_what_a_module_keeps_ends_with_it() -> None:
    """Only its own: what it imports may be kept for others."""
    elsewhere = ModuleType("elsewhere")
    vars(elsewhere).update(imported=_kept)
    kept = weakref.ref(_kept())
    forget_what_is_kept(elsewhere)
    gc.collect()
    assert kept() is not None
    forget_what_is_kept(sys.modules[__name__])
    gc.collect()
    assert kept() is None


def test_every_test_has_both(request: pytest.FixtureRequest) -> None:
    """Nobody has to ask for them."""
    assert {"collection", "caches"} <= set(request.fixturenames)
