"""How often a process of ours looks for cycles of garbage."""

import atexit
import gc

_THRESHOLDS = (100_000, 20, 100)


def collect_rarely() -> None:
    """Look for cycles rarely: a batch makes tens of thousands of objects, and hardly ever a cycle among them."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # DuckDB's module takes what is never collected for its own leak, and fills the log
    gc.set_threshold(*_THRESHOLDS)
