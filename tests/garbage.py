"""What tests leave behind in the one process of them all, gigabytes of it, is given back.

1. A role collects garbage rarely for its whole life (`streams.garbage_collection`); a test that has it do so within
   its own process does not change that for those that follow.
2. What a module of tests makes once for several of its tests (`functools.cache`), whole worlds of machines, is kept
   until its last test, and no longer.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import _lru_cache_wrapper
from types import ModuleType


@contextmanager
def usual_collection() -> Iterator[None]:
    """Whatever happens to the collector's settings within it is undone at its end, and what was frozen is freed."""
    before, was_frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        yield
    finally:
        if gc.get_threshold() != before:
            gc.set_threshold(*before)
        if not was_frozen and gc.get_freeze_count():
            gc.unfreeze()


def forget_what_is_kept(module: ModuleType) -> None:
    """Empty the caches of a module's own functions; what it imports others may still need."""
    for each in vars(module).values():
        if isinstance(each, _lru_cache_wrapper) and each.__module__ == module.__name__:
            each.cache_clear()
