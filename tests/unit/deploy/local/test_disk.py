"""What a disk refuses is explained; what is no matter of the disk goes on as it is."""

import errno
from pathlib import Path

import pytest

from deploy.local.disk import explained, require_space
from protocol.errors import CountersignError

FULL = Path("/dev/full")


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk.full"),
        (errno.EDQUOT, "disk.full"),
        (errno.EROFS, "file.unusable"),
        (errno.ENOTDIR, "file.unusable"),
    ],
)
def test_a_disk_that_refuses_is_explained(number: int, code: str) -> None:
    """A full disk and one that may not be written have their codes, with what was being done."""
    with pytest.raises(CountersignError, match="keeping notes") as caught, explained("keeping notes"):
        raise OSError(number, "no")
    assert caught.value.code == code


def test_other_errors_go_on() -> None:
    """An error that the disk has no part in stays what it is."""
    with pytest.raises(ConnectionRefusedError), explained("asking"):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "no")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_really_full_disk_is_explained() -> None:
    """The kernel's own answer to a write on a full device."""
    with pytest.raises(CountersignError) as caught, explained("writing"):
        FULL.write_bytes(b"x")
    assert caught.value.code == "disk.full"


def test_space_is_required_where_a_directory_will_be(tmp_path: Path) -> None:
    """A start says how much is missing, before a server finds out."""
    place = tmp_path / "not" / "made"
    require_space(place, 1)
    with pytest.raises(CountersignError, match="MiB are free") as caught:
        require_space(place, 1 << 80)
    assert caught.value.code == "disk.full"
    assert not place.parent.exists()
