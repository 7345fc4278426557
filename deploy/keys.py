"""Private keys and secrets as files: made here, readable by their owner only, never printed."""

import os
import secrets
from pathlib import Path

from protocol.errors import CountersignError
from protocol.signing import SEED_SIZE, Algorithm, SigningKey

SECRET_BYTES = 32


def make_key(file: Path, algorithm: Algorithm = "p256") -> SigningKey:
    """Make a key and write it; an existing file is never overwritten.

    Raises:
        CountersignError: `file.exists`.
    """
    key = SigningKey.from_seed(algorithm, secrets.token_bytes(SEED_SIZE))
    write_private(file, key.to_pem())
    return key


def make_secret(file: Path) -> None:
    """Make a random secret of `SECRET_BYTES` and write it."""
    write_private(file, secrets.token_bytes(SECRET_BYTES))


def write_private(file: Path, data: bytes) -> None:
    """Write a new file that only its owner can read, durably; whole or not at all. So are directories that it needs.

    Raises:
        CountersignError: `file.exists`.
    """
    for directory in reversed([each for each in file.parents if not each.exists()]):
        directory.mkdir(exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise CountersignError("file.exists", str(file)) from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        file.unlink()
        raise
