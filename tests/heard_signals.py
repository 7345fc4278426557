"""Signals as a terminal's foreground has them: under nohup, or behind a script's `&`, some are ignored from the start,
and every process that is started ignores them, too.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heard_signals() -> Iterator[None]:
    """While it lasts, what ends a command is heard, here and by what is started."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
