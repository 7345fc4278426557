"""The hashing in C takes what its Python twins take, refuses the rest, and never reads what is not there.

That it gives the same bytes is for the twins' own tests to show: they run on the compiled copy as well.
"""

import json
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.canonical_json import DEPTH_MAX, INTEGER_MAX, NotCanonicalError, dumps, loads
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
        ("is_canonical", ()),
        ("is_canonical", (None,)),
        ("is_canonical", (bytearray(b"1"),)),
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


# --- is_canonical ---

JSON = json.loads((Path(__file__).parents[2] / "vectors/canonical_json.json").read_text())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)

PIECES = [b"", b" ", b",", b'"', b"0", b"1", b"-", b"{", b"}", b"[", b"]", b"\\", b"\xc3"]


def is_taken(data: bytes) -> bool:
    try:
        loads(data)
    except NotCanonicalError:
        return False
    return True


def test_vectors_of_canonical_json() -> None:
    """Nothing is taken that is refused, whether as bytes or as text."""
    for data in (bytes.fromhex(data) for data, _ in JSON["refused"]):
        assert call("is_canonical", data) is False
        assert call("is_canonical", data.decode(errors="surrogateescape")) is False
    taken = [data for data, _ in JSON["canonical"] if call("is_canonical", bytes.fromhex(data))]
    assert len(taken) > len(JSON["canonical"]) / 3


@pytest.mark.parametrize(
    "data",
    [
        b'{"amount":1,"from":"account/000001","to":"account/000002"}',
        b'{"":[],"a":{},"aa":[-1,0,999999999999999],"b":[true,false,null,["x\x7f"]]}',
        b"[" * DEPTH_MAX + b"]" * DEPTH_MAX,
        b'{"a":' * DEPTH_MAX + b"1" + b"}" * DEPTH_MAX,
        b'[{"a":' * (DEPTH_MAX // 2) + b"1" + b"}]" * (DEPTH_MAX // 2),
        b"-7",
        b'""',
    ],
)
def test_usual_texts_are_canonical_wherever_they_end_as_they_should(data: bytes) -> None:
    """As bytes and as text; cut anywhere, only where the twin takes what is left."""
    assert call("is_canonical", data) is call("is_canonical", data.decode()) is True
    assert is_taken(data)
    for end in range(len(data)):
        assert not call("is_canonical", data[:end]) or is_taken(data[:end])
    for more in (b" ", b",", b"]", b"}", b"0", b"\0", b'"'):
        assert call("is_canonical", data + more) is is_taken(data + more)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"-",
        b"-0",
        b"01",
        b"1.5",
        b"1e5",
        b"9007199254740992",
        b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1),
        b'{"b":1,"a":1}',
        b'{"a":1,"a":1}',
        b'{"aa":1,"a":1}',
        b'{"b":1,"aa":1}',
        b'{"a!":1,"a":1}',
        b'{"":1,"":1}',
        b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1),
        b'[{"a":' * (DEPTH_MAX // 2) + b"{}" + b"}]" * (DEPTH_MAX // 2),
        b'{"a":[' * (DEPTH_MAX // 2) + b"[]" + b"]}" * (DEPTH_MAX // 2),
        b'{"a":{}',
        b'{"a":{},}',
        b'{"a":1]',
        b"[1}",
        b"[1,]",
        b"[,1]",
        b"{1:1}",
        b'{"a",1}',
        b"tru",
        b"[nul]",
        b"'a'",
        b'"\n"',
        b'"\\x"',
    ],
)
def test_what_the_twin_refuses(data: bytes) -> None:
    """Is not canonical."""
    assert not is_taken(data)
    assert call("is_canonical", data) is False


@pytest.mark.parametrize(
    "around",
    [
        b"%c",
        b"1%c",
        b"-%c",
        b'"%c"',
        b"[%c]",
        b"[0%c0]",
        b'{"a"%c0}',
        b'{"a":0%c',
        b'{%c"a":0}',
        b'{%ca":0}',
        b'{"a":0,%cb":0}',
    ],
)
def test_every_byte_at_every_kind_of_place(around: bytes) -> None:
    """Is taken where the twin takes it, and nowhere else: neighbours of digits and of control characters, too."""
    for byte in range(256):
        assert call("is_canonical", around % byte) is is_taken(around % byte), around % byte


@pytest.mark.parametrize("around", [b"%c%c", b"%c%c1", b'"%c%c"', b"[%c%c]", b'{"a":0%c"%c":0}'])
def test_every_two_bytes(around: bytes) -> None:
    """Are taken only where the twin takes them."""
    for first in range(256):
        for second in range(256):
            data = around % (first, second)
            assert not call("is_canonical", data) or is_taken(data), data


KEYS = ["", *" !a~\x7f", *map("".join, product(" !a~\x7f", repeat=2))]


def test_every_order_of_two_keys() -> None:
    """One may begin as the other does, and go on with what is less than a quotation mark."""
    for first in KEYS:
        for second in KEYS:
            data = f'{{"{first}":0,"{second}":0}}'.encode()
            assert call("is_canonical", data) is is_taken(data) is (first < second), data


def test_what_is_rare_is_left_to_the_twin() -> None:
    """Characters beyond ASCII, escapes and the greatest integers; text that has no UTF-8."""
    for value in ("é", "\n", INTEGER_MAX, {"é": 1}):
        assert is_taken(dumps(value))
        assert call("is_canonical", dumps(value)) is False
    assert call("is_canonical", '"\ud800"') is False


def test_a_look_takes_no_memory() -> None:
    """No text keeps its UTF-8 from it: a contract's memory would hold it twice in the compiled copy alone."""
    for character in "xé😀":
        text = f'"{character * 1000}"'
        before = sys.getsizeof(text)
        call("is_canonical", text)
        assert sys.getsizeof(text) == before


@given(VALUES, st.data())
def test_what_is_canonical_here_is_for_the_twin(value: object, data: st.DataObject) -> None:
    """Of canonical texts that were changed in one place, too; and every text of ASCII without escapes is."""
    text = dumps(value)
    if text.isascii() and b"\\" not in text and max(map(abs, integers_of(value)), default=0) < 10**15:
        assert call("is_canonical", text) is True
    at = data.draw(st.integers(0, len(text)))
    piece = data.draw(st.sampled_from(PIECES))
    changed = text[:at] + piece + text[at + data.draw(st.integers(0, 1)) :]
    assert not call("is_canonical", changed) or is_taken(changed)


def integers_of(value: object) -> list[int]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in integers_of(item)]
    return [value] if isinstance(value, int) else []
