"""The command line `countersign`, which ends without a trace when Ctrl-C ends it: before it is loaded, too."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_INTERRUPTED = 128 + signal.SIGINT
_WORD = "interrupted\n"
_BUSY = frozenset(("bench", "demo", "learn"))
"""Commands through which as much passes as through a role: like the roles, they run the compiled copy where there is
one."""


@contextmanager
def _interruptible() -> Iterator[None]:
    """While it lasts, Ctrl-C ends the process at once: there is nothing to clean up yet, and what is being imported
    would turn an exception into one of its own.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(_number: int, _frame: FrameType | None) -> None:
        os.write(2, _WORD.encode())
        os._exit(_INTERRUPTED)

    signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _prefer_compiled() -> None:
    """Have every package that is not loaded yet come from the compiled copy."""
    from deploy.compiled import is_compiled, root_of_roles

    if is_compiled():
        sys.path.insert(0, str(root_of_roles()))


def main() -> None:
    """Run the command line."""
    words = sys.argv[1:]
    with _interruptible():
        if words and words[0] in _BUSY:
            _prefer_compiled()
        from deploy.application import application

        app = application(words)
    try:
        app(prog_name="countersign")
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            sys.stderr.write(_WORD)
        raise


if __name__ == "__main__":
    main()
