"""Files that only their owner reads: settings with passwords."""

import os
from pathlib import Path


def replace_private(file: Path, data: bytes) -> None:
    """Write a file, whole or not at all, whatever was there and however this ends."""
    unfinished = file.with_name(f"{file.name}.new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())
    unfinished.replace(file)
