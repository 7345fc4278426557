"""What the disk refuses, said so that a user can act on it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from protocol.errors import CountersignError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn a full or a write-protected disk into the error that says so.

    Args:
        what: what is being done, for the error's detail.

    Raises:
        CountersignError: `disk.full`, or `config.invalid` where this user may not write.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise CountersignError("disk.full", f"{what}: {error}") from error
        if error.errno in _FORBIDDEN:
            raise CountersignError("config.invalid", f"{what}: {error}") from error
        raise
