"""The hashing in C takes what its Python twins take, refuses the rest, and never reads what is not there.

That it gives the same bytes is for the twins' own tests to show: they run on the compiled copy as well.
"""

from collections.abc import Callable

import pytest

from protocol.native import NATIVE
from protocol.records import record_hash_of_names

pytestmark = pytest.mark.skipif(NATIVE is None, reason="no hashing in C here; tests/compiled runs these with it")

HASH = bytes(range(32))


def call(name: str, *arguments: object) -> object:
    function: Callable[..., object] = getattr(NATIVE, name)
    return function(*arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("tagged", ()),
        ("tagged", (b"head",)),
        ("tagged", ("head", (b"part",))),
        ("tagged", (b"head", [b"part"])),
        ("tagged", (b"head", (b"part", None))),
        ("merkle_root", (b"leaves",)),
        ("merkle_root", ([b"leaf", "leaf"],)),
        ("merkle_root", (iter([b"leaf"]),)),
        ("path_root", (b"leaf", 0, 1)),
        ("path_root", (b"leaf", "0", 1, ())),
        ("path_root", ("leaf", 0, 1, ())),
        ("record_hash", (HASH, b"n", b"k", 1, False, b"1", HASH)),
        ("record_hash", (HASH, 7, b"k", 1, False, b"1", HASH, HASH)),
        ("record_hash", (HASH, b"n", b"k", None, False, b"1", HASH, HASH)),
        ("record_hash", (HASH, b"n", b"k", 1, False, "1", HASH, HASH)),
        ("record_hash", (HASH, b"n", b"k", 1, 1, b"", HASH, HASH)),
        ("attachments_hold", (HASH, (), ())),
        ("attachments_hold", (HASH, [], (), ())),
        ("attachments_hold", (HASH, (None,), (b"",), ())),
    ],
    ids=repr,
)
def test_other_arguments(name: str, arguments: tuple[object, ...]) -> None:
    """Another number of them, or others than bytes, tuples, lists and numbers."""
    with pytest.raises(TypeError):
        call(name, *arguments)


@pytest.mark.parametrize("at", [0, 6, 7])
@pytest.mark.parametrize("wrong", [b"", HASH[:31], HASH + b"\0"])
def test_hashes_of_another_length(at: int, wrong: bytes) -> None:
    """What is framed as 32 bytes has 32 bytes."""
    arguments: list[object] = [HASH, b"n", b"k", 1, False, b"1", HASH, HASH]
    arguments[at] = wrong
    with pytest.raises(ValueError, match="a hash of another length"):
        call("record_hash", *arguments)


@pytest.mark.parametrize("version", [-1, 2**64, 2**200])
def test_versions_that_none_has(version: int) -> None:
    """A version is a u64."""
    with pytest.raises(OverflowError):
        call("record_hash", HASH, b"n", b"k", version, False, b"1", HASH, HASH)


def test_names_are_hashed_as_utf8() -> None:
    """As text and as bytes, and text that has no UTF-8 is refused."""
    for name in ("", "key", "k\0y", "clé", "鍵" * 500, "\U0001f511"):
        given = (HASH, name, name, 2**63, True, b"", HASH, HASH)
        twin = record_hash_of_names(HASH, name.encode(), name.encode(), 2**63, True, b"", HASH, HASH)
        assert call("record_hash", *given) == call("record_hash", HASH, *[name.encode()] * 2, *given[3:]) == twin
    with pytest.raises(UnicodeEncodeError):
        call("record_hash", HASH, "\ud800", "k", 1, False, b"1", HASH, HASH)


@pytest.mark.parametrize("path", [None, [HASH], (HASH, HASH), (b"",), (HASH[:31],), (HASH + b"\0",), ("node",), ()])
def test_paths_that_are_not_of_the_one_form(path: object) -> None:
    """Nothing is climbed with them: one node of 32 bytes leads from a leaf of two to the root."""
    assert call("path_root", b"leaf", 1, 2, path) is None
    assert call("path_root", b"leaf", 1, 2, (HASH,)) is not None


@pytest.mark.parametrize(("index", "count"), [(-1, 2), (2, 2), (0, 0), (0, -1), (-(2**63), 2**63 - 1)])
def test_places_that_no_tree_has(index: int, count: int) -> None:
    """Whatever the path."""
    assert call("path_root", b"leaf", index, count, (HASH,)) is None
    with pytest.raises(OverflowError):
        call("path_root", b"leaf", index, 2**63, (HASH,))
