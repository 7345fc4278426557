"""Canonical JSON has one form: each trap is refused, with one code, by reader and writer alike."""

import json
from pathlib import Path

import orjson
import pytest

from protocol.canonical_json import DEPTH_MAX, INTEGER_MAX, NotCanonicalError, dumps, loads
from tests.reference import canonical_json as reference

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/canonical_json.json").read_text())


@pytest.mark.parametrize(("data", "why"), VECTORS["canonical"], ids=[why for _, why in VECTORS["canonical"]])
def test_canonical_bytes(data: str, why: str) -> None:
    """What is canonical is read, and written again as the same bytes."""
    value = loads(bytes.fromhex(data))
    assert repr(value) == repr(reference.loads(bytes.fromhex(data))), why
    assert dumps(value) == bytes.fromhex(data), why


@pytest.mark.parametrize(("data", "why"), VECTORS["refused"], ids=[why for _, why in VECTORS["refused"]])
def test_traps(data: str, why: str) -> None:
    """What is not canonical is refused, with the one code that client, Auditor and Ledger show."""
    with pytest.raises(NotCanonicalError) as raised:
        loads(bytes.fromhex(data))
    assert raised.value.code == "argument.not_canonical", why
    with pytest.raises(reference.RefusedError):
        reference.loads(bytes.fromhex(data))


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
def test_depth(opening: bytes, closing: bytes) -> None:
    """Thirty-two levels are read and written, thirty-three are not."""
    levels = opening.count(b"[") + opening.count(b"{")
    deepest = opening * (DEPTH_MAX // levels) + b"1" + closing * (DEPTH_MAX // levels)
    value = loads(deepest)
    assert dumps(value) == deepest
    with pytest.raises(NotCanonicalError, match="deeper"):
        loads(b"[" + deepest + b"]")
    with pytest.raises(NotCanonicalError, match="deeper"):
        dumps([value])


@pytest.mark.parametrize("depth", [200, 255, 1_000, 1_025, 100_000])
def test_depth_that_would_overflow_a_stack(depth: int) -> None:
    """However deep: the one error, no RecursionError and no crash."""
    with pytest.raises(NotCanonicalError):
        loads(b"[" * depth + b"]" * depth)
    with pytest.raises(NotCanonicalError):
        loads(b'{"a":' * depth + b"1" + b"}" * depth)


def test_a_value_that_holds_itself() -> None:
    """A circle is deep nesting to the writer."""
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(NotCanonicalError):
        dumps(circle)


def test_many_brackets_side_by_side_are_no_depth() -> None:
    """Depth is not the number of brackets, nor are brackets in strings."""
    for data in (b"[" + b",".join([b"[]"] * 100) + b"]", b'"' + b"[{" * 100 + b'"'):
        assert dumps(loads(data)) == data


def test_digits_and_points_in_strings_are_no_floats() -> None:
    """Strings may look like floats, even right beside one that is refused."""
    assert loads(b'["1.0","1e5",1]') == ["1.0", "1e5", 1]
    with pytest.raises(NotCanonicalError):
        loads(b'["1.0","1e5",1.5]')
    with pytest.raises(NotCanonicalError):
        loads(b'{"a":[{"b":1.5}]}')


FLOATS = (b"1e+16", b"-1e+22", b"5e-324", b"1e-7", b"[1e+16]", b'{"a":2e+300}', b"1.0", b"-0.0")


@pytest.mark.parametrize("data", FLOATS)
def test_floats_that_orjson_writes_as_it_reads_them(data: bytes) -> None:
    """With a point or with an exponent alone: their bytes come out the same, so only a look at the value finds them."""
    assert orjson.dumps(orjson.loads(data)) == data
    with pytest.raises(NotCanonicalError, match="float"):
        loads(data)


@pytest.mark.parametrize("value", [INTEGER_MAX, -INTEGER_MAX, 0, True, None, "", [], {}, {"a": {"b": [1]}}])
def test_written_as_the_twin_writes(value: object) -> None:
    """The writer's bytes are the slow twin's."""
    assert dumps(value) == reference.dumps(value)


@pytest.mark.parametrize(
    "value",
    [
        INTEGER_MAX + 1,
        -INTEGER_MAX - 1,
        10**400,
        1.0,
        float("nan"),
        float("inf"),
        b"bytes",
        (1, 2),
        {1: 2},
        {None: 1},
        {"a": {"b": 0.5}},
        "\ud800",
        {"\udfff": 1},
        {1, 2},
        object(),
        Path("x"),
    ],
    ids=repr,
)
def test_values_that_cannot_be_written(value: object) -> None:
    """Another type, a great integer or a lone surrogate: the one error."""
    with pytest.raises(NotCanonicalError):
        dumps(value)


def test_subclasses_are_not_taken_for_plain_values() -> None:
    """A subclass could print otherwise than it compares."""

    class Text(str):
        __slots__ = ()

    class Number(int):
        pass

    for value in (Text("a"), Number(1), {Text("a"): 1}):
        with pytest.raises(NotCanonicalError):
            dumps(value)


def test_keys_are_sorted_by_code_point() -> None:
    """U+FFFF stands before U+10000, though UTF-16 would put it behind; prefixes come first."""
    assert dumps({"\U00010000": 1, "\uffff": 2, "b": 3, "a": 4, "ab": 5, "": 6, "B": 7}) == (
        '{"":6,"B":7,"a":4,"ab":5,"b":3,"\uffff":2,"\U00010000":1}'.encode()
    )
