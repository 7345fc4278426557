"""What the disk refuses, said so that a user can act on it."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import CountersignError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_DIRECTORY = frozenset({errno.ENOTDIR, errno.EEXIST})


def is_full(error: OSError) -> bool:
    """Whether the disk, or what this user may have of it, is full."""
    return error.errno in _FULL


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn a full or a write-protected disk into the error that says so.

    Args:
        what: what is being done, for the error's detail.

    Raises:
        CountersignError: `disk.full`, or `file.unusable` where this user may not write, or a file is in the way.
    """
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise CountersignError("disk.full", f"{what}: {error}") from error
        if error.errno in _FORBIDDEN | _NO_DIRECTORY:
            raise CountersignError("file.unusable", f"{what}: {error}") from error
        raise


def require_space(directory: Path, wanted_bytes: int) -> None:
    """Require free space where a directory is, or is to be made.

    Raises:
        CountersignError: `disk.full`.
    """
    place = next(each for each in (directory, *directory.parents) if each.exists())
    free_bytes = shutil.disk_usage(place).free
    if free_bytes < wanted_bytes:
        wanted, free = wanted_bytes >> 20, free_bytes >> 20
        raise CountersignError("disk.full", f"{directory}: {free} MiB are free, and {wanted} MiB needed to start")
