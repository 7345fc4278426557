"""A replica that disperses corrupted pieces from the start: for demonstrations and tests of what learners do then."""

import sys

from deploy.roles.entry import RoleStatus, run_role
from deploy.roles.replica import run
from learners.codec import erasure_code
from storage.effects import Halt
from streams.role_directory import RoleConfiguration
from streams.stage import StopSignal


class CorruptingEncoder:
    """Gives slices of which one bit is wrong.

    Args:
        k, n: pieces that suffice, and replicas.
    """

    def __init__(self, k: int, n: int) -> None:
        self._code = erasure_code(k, n)

    def encode(self, block: bytes) -> list[bytes]:
        """All slices of a block, each with its first bit flipped."""
        return [_corrupted(piece) for piece in self._code.encode(block)]

    def slice(self, block: bytes, index: int) -> bytes:
        """One of them."""
        return _corrupted(self._code.slice(block, index))


def _corrupted(piece: bytes) -> bytes:
    return bytes((piece[0] ^ 0x80,)) + bytes(piece[1:])


def lie(configuration: RoleConfiguration, stop: StopSignal, status: RoleStatus) -> Halt | None:
    """Disperse lies until told to stop."""
    latest = configuration.epochs().latest
    return run(configuration, stop, status, CorruptingEncoder(latest.k, latest.n))


if __name__ == "__main__":
    sys.exit(run_role(lie))
