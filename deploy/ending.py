"""What ends a command from outside: it cleans up first, and is told once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_AGAIN_S = 0.02


@contextmanager
def ended_in_order() -> Iterator[None]:
    """While it lasts, SIGTERM, SIGHUP and Ctrl-C raise `SystemExit`, once: 128 and the signal's number."""
    before = {number: signal.getsignal(number) for number in (*_SIGNALS, signal.SIGALRM)}
    heard = [number for number in _SIGNALS if before[number] is not signal.SIG_IGN]

    def end(number: int, frame: FrameType | None) -> None:
        for each in heard:
            signal.signal(each, signal.SIG_IGN)  # who is told twice goes on cleaning up
        if _is_importing(frame):  # packages try imports, and some swallow whatever is raised meanwhile
            signal.signal(signal.SIGALRM, lambda _, later: end(number, later))
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
            return
        raise SystemExit(128 + number)

    for number in heard:
        signal.signal(number, end)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False
