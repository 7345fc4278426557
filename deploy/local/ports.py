"""Free ports on loopback.

Ports are taken from below the system's ephemeral range: a port from within it may be given to some client's
outgoing connection while its server restarts, and a client that tries again and again may reach itself.
"""

import errno
import random
import socket
from pathlib import Path

from protocol.errors import CountersignError

LOOPBACK = "127.0.0.1"
_LOWEST = 10_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DEFAULT_EPHEMERAL_START = 32_768
_ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def require_free(port: int) -> int:
    """Give the port back if it is free.

    Raises:
        CountersignError: `port.taken`.
    """
    if not is_free(port):
        raise CountersignError("port.taken", f"{LOOPBACK}:{port}")
    return port


def free_port(avoid: frozenset[int] = frozenset()) -> int:
    """A port that is free now, at random, and none of `avoid`.

    Raises:
        CountersignError: `port.taken` if none was found.
    """
    end = _ephemeral_start()
    for _ in range(_ATTEMPTS):
        port = random.randrange(_LOWEST, end)
        if port not in avoid and is_free(port):
            return port
    raise CountersignError("port.taken", f"no free port between {_LOWEST} and {end}")


def _ephemeral_start() -> int:
    try:
        start = int(_EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _DEFAULT_EPHEMERAL_START
    return start if start > 2 * _LOWEST else _DEFAULT_EPHEMERAL_START
