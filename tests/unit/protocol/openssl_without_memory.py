"""A process in which OpenSSL's memory ends: prints of each way to hash what it raises when the first of its allocations
fails, the second and so on, and whether it left an error in OpenSSL's own queue. Nothing if Python has another OpenSSL.
"""

import ctypes
import os
from collections.abc import Callable

crypto = ctypes.CDLL("libcrypto.so.3")
crypto.ERR_peek_error.restype = ctypes.c_ulong
libc = ctypes.CDLL(None)
libc.realloc.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
libc.realloc.restype = ctypes.c_void_p

ENOUGH = 1_000_000
ALLOCATIONS_MAX = 12  # more than a way makes
left = ENOUGH  # allocations that succeed


def allocate_again(block: int | None, size: int, _file: int | None, _line: int) -> int | None:
    global left
    left -= 1
    return libc.realloc(block, size) if left >= 0 else None


def allocate(size: int, _file: int | None, _line: int) -> int | None:
    return allocate_again(None, size, None, 0)


place = (ctypes.c_void_p, ctypes.c_int)  # file and line
allocating = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t, *place)(allocate)
allocating_again = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, *place)(allocate_again)
# Not Python, since it is called while an error is raised; a file and a line that it does not know do no harm.
releasing = ctypes.cast(libc.free, ctypes.c_void_p)
assert crypto.CRYPTO_set_mem_functions(allocating, allocating_again, releasing), "somebody used OpenSSL before"

import hashlib  # noqa: E402  # from here on OpenSSL is used

from protocol import merkle  # noqa: E402
from protocol.hashing import ZERO_HASH, tagged  # noqa: E402
from protocol.records import RecordKey, record_hash  # noqa: E402

LEAVES = (b"1", b"2", b"3")
KEY = RecordKey("object", "a")
PATH = merkle.path(LEAVES, 0)
FRONTIER = merkle.Frontier().append(b"1").append(b"2").append(b"3")

WAYS: dict[str, Callable[[], object]] = {
    "tagged, one part": lambda: tagged("record", b"part"),
    "tagged, two parts": lambda: tagged("record", b"part", b"part"),
    "record": lambda: record_hash(ZERO_HASH, KEY, 1, False, b"1", ZERO_HASH, ZERO_HASH),
    "root": lambda: merkle.root(LEAVES),
    "root of hashes": lambda: merkle.root_of_hashes((ZERO_HASH, ZERO_HASH)),
    "path": lambda: merkle.root_from_path(LEAVES[0], 0, 3, PATH),
    "append": lambda: FRONTIER.append(b"4"),
    "root of a frontier": FRONTIER.root,
}


def outcome(way: Callable[[], object], allocations: int) -> str:
    """What comes of it, where so many succeed."""
    global left
    left = allocations
    try:
        way()
    except Exception as error:
        return type(error).__name__
    finally:
        left = ENOUGH
    return ""


def outcomes(way: Callable[[], object]) -> set[str]:
    """What comes of it at every end of memory."""
    seen = set()
    for allocations in range(ALLOCATIONS_MAX):
        raised = outcome(way, allocations)
        if raised:
            seen |= {raised, "an error is left"} if crypto.ERR_peek_error() else {raised}
            crypto.ERR_clear_error()
    return seen


if outcome(lambda: hashlib.sha256(b""), 0):
    print(*(f"{name}: {', '.join(sorted(outcomes(way)))}" for name, way in WAYS.items()), sep="\n", flush=True)
os._exit(0)  # OpenSSL frees at the end of the process, when there is no Python any more
