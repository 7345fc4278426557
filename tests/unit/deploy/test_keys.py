"""Private keys as files: whole, and their owner's alone."""

import errno
import os
from pathlib import Path

import pytest

from deploy.keys import make_key, write_private
from protocol.errors import CountersignError
from streams.role_directory import load_key


def test_a_key_is_read_back_and_never_written_over(tmp_path: Path) -> None:
    """Nobody else reads it, nor what its new directories hold."""
    file = tmp_path / "one" / "two" / "key.pem"
    key = make_key(file, "ed25519")
    assert load_key(file).public_key == key.public_key
    for each in (file, *file.parents[:2]):
        assert each.stat().st_mode & 0o077 == 0
    with pytest.raises(CountersignError) as caught:
        make_key(file)
    assert caught.value.code == "file.exists"
    assert load_key(file).public_key == key.public_key


def test_a_key_that_could_not_be_written_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of one would be in the way of the next try."""
    monkeypatch.setattr(os, "fsync", _refuse)
    with pytest.raises(OSError, match="No space"):
        write_private(tmp_path / "key.pem", b"key")
    assert list(tmp_path.iterdir()) == []


def _refuse(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
