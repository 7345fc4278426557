"""A bound on how much a process may still grow, for one that works for strangers.

The engine that answers queries bounds what it keeps, but not what a single step of a query may ask for:
`repeat('x', 4000000000)` in a thousand rows. Beyond this bound the system refuses, and only that query fails.
"""

import resource
from pathlib import Path

from protocol.limits import MIB

_STATUS = Path("/proc/self/status")


def limit_growth(growth_bytes: int = 1024 * MIB) -> None:
    """Let this process take so much more memory than it has now; does nothing where the system cannot tell."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return
    taken_kib = next((int(line.split()[1]) for line in lines if line.startswith("VmData:")), None)
    if taken_kib is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = taken_kib * 1024 + growth_bytes
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
