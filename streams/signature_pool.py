"""Signs and verifies in threads: OpenSSL lets go of the interpreter's lock, so this uses several cores."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from protocol.signatures import SignatureCheck
from protocol.signing import BadKeyError, BadSignatureError, SigningKey, verify_key

_ALONE_MAX = 8
"""So few are done at once by the asking thread: handing them over would take longer."""


class SignaturePool:
    """Threads for signatures, shared by the stages of a process.

    Args:
        threads: as many as there are cores to use.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="signatures")

    def verify(self, checks: Sequence[SignatureCheck]) -> tuple[tuple[bool, ...], float]:
        """Check signatures.

        Returns:
            Which are good, and the seconds of CPU time that other threads took.
        """
        if len(checks) <= _ALONE_MAX:
            return _verify(checks)[0], 0.0
        size = -(-len(checks) // self._threads)
        portions = [checks[start : start + size] for start in range(0, len(checks), size)]
        done = list(self._pool.map(_verify, portions))
        return tuple(chain.from_iterable(valid for valid, _ in done)), sum(cpu_s for _, cpu_s in done)

    def sign(self, key: SigningKey, messages: Sequence[bytes]) -> tuple[bytes, ...]:
        """Sign each message."""
        if len(messages) <= _ALONE_MAX:
            return tuple(map(key.sign, messages))
        return tuple(self._pool.map(key.sign, messages))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _verify(checks: Sequence[SignatureCheck]) -> tuple[tuple[bool, ...], float]:
    started = time.thread_time()
    return tuple(map(_is_good, checks)), time.thread_time() - started


def _is_good(check: SignatureCheck) -> bool:
    try:
        verify_key(check.key.algorithm, check.key.key).verify(check.signed, check.signature)
    except (BadKeyError, BadSignatureError):
        return False
    return True
