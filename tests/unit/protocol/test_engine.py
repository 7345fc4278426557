"""What the engine promises, as far as outcomes rest on it."""

import gc
import json
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.contracts import fingerprint
from protocol.contracts.engine import (
    EXHAUSTION,
    ContractError,
    Engine,
    ExhaustedError,
    engine_version,
    quicken_conversions,
    value_of,
)
from protocol.contracts.fingerprint import EXPRESSIONS, engine_answers
from protocol.contracts.source_scan import SourceRefusedError, scan_source
from protocol.limits import Limits

ANSWERS = "98ab19b088745fecc063922f86e51b7cf0bf2b622bbe15018d817c64a604f819"
"""Of starlark-pyo3 2026.1.3 behind this border. Another value is another engine: it takes a new epoch."""


@pytest.fixture
def quick() -> Iterator[None]:
    """The conversions of a child process."""
    loads, dumps = json.loads, json.dumps
    quicken_conversions()
    yield
    vars(json).update(loads=loads, dumps=dumps)


def run(source: str, argument: Any = None, steps: list[int] | None = None, **calls: Any) -> Any:
    """Run a contract, counting how often the engine asks whether to go on."""

    def is_cancelled() -> bool:
        if steps is not None:
            steps[0] += 1
        return steps is not None and steps[0] > steps[1]

    engine = Engine(calls, is_cancelled)
    return value_of(engine.compile(source).run(engine.options, json.dumps(argument)))


def body(expression: str) -> str:
    return f"def execute(argument):\n    return {expression}\n"


def test_known_answers() -> None:
    """This engine is the one that the published hash stands for."""
    assert engine_version() == "starlark-pyo3 2026.1.3"
    assert engine_answers().hex() == ANSWERS


@pytest.mark.usefixtures("quick")
def test_known_answers_in_a_child() -> None:
    """Quick conversions change no answer."""
    assert engine_answers().hex() == ANSWERS


def test_an_engine_that_differs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer that differs makes another hash."""
    monkeypatch.setattr(fingerprint, "EXPRESSIONS", (*EXPRESSIONS[:-1], "recurse(41)"))
    assert engine_answers().hex() != ANSWERS


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, -1, 2**53 - 1, -(2**53 - 1), "", "aé😀\0\u2028", [], [1, ["x"]], {"b": {"a": -7}}],
)
@pytest.mark.parametrize("conversions", ["plain", "quick"])
def test_values_cross_unchanged(value: Any, conversions: str, request: pytest.FixtureRequest) -> None:
    """What canonical JSON can hold is the same on both sides, as argument, answer of a call and result."""
    if conversions == "quick":
        request.getfixturevalue("quick")
    source = "def execute(argument):\n    return [argument, echo(argument), echo(value = argument)]\n"
    assert run(source, value, echo=lambda value: value) == [value, value, value]


NESTED = [{"a": [[n, "é"], {"b": None}]} for n in range(20)]


@pytest.mark.parametrize("value", [NESTED, {"rows": NESTED}, [[[[[[{}]]]]]]], ids=["wide", "in a dict", "deep"])
@pytest.mark.usefixtures("quick")
def test_either_way_over_the_border_gives_the_same(value: Any) -> None:
    """A value with more brackets than may be deep is converted by the engine; nobody sees the difference."""
    assert run(body("[argument, argument]"), value) == [value, value]
    assert run(body("argument"), value) == value


def test_what_text_would_change_crosses_as_it_is() -> None:
    """A number that is a key stays one, so that whoever takes the value refuses it; a tuple comes as a list."""
    assert run(body("{'a': 1, 2: 3}")) == {"a": 1, 2: 3}
    assert run(body("{'a': {True: 3}}")) == {"a": {True: 3}}
    assert run(body("[(1, (2, 'x')), ()]")) == [[1, [2, "x"]], []]


def test_what_nothing_can_hold_is_an_error() -> None:
    """A function, an integer that not even a float can hold, a value inside itself, one that is a thousand deep."""
    deep = "def execute(a):\n  for i in range(2000):\n    a = {text}\n  return a\n"
    own = "def execute(a):\n  a = []\n  a.append(a)\n  return a\n"
    for source in (body("execute"), body("1 << 1024"), own, deep.format(text="[a]"), deep.format(text="{'a': a}")):
        with pytest.raises((ContractError, ValueError)):
            run(source)


WRAPPERS = """
def asked(value):
    return json.decode(_ask(text_of(value)))

def _private():
    return 1
"""


def test_calls_in_starlark_over_others() -> None:
    """They are there like the others, by place and by name; what they are made of is not."""
    calls: dict[str, Any] = {"_ask": lambda text: json.dumps([value_of(text)]), "plain": lambda: 7}
    engine = Engine(calls, lambda: False, WRAPPERS)
    assert sorted(engine.names) == ["asked", "plain"]
    source = body("[asked(argument), asked(value = plain())]")
    assert value_of(engine.compile(source).run(engine.options, '{"a":1}')) == [[{"a": 1}], [7]]
    for hidden in ("_ask('1')", "_private()", "text_of(1)", "run_with(len, '1')", "json.encode(1)", "is_flat(1)"):
        with pytest.raises(ContractError):
            engine.compile(body(hidden)).run(engine.options, "null")


@pytest.mark.parametrize("name", ["entry", "entry_", "run_with", "text_of", "asked", "json", "HOLDERS", "float"])
def test_a_contract_may_name_things_as_it_likes(name: str) -> None:
    """Its own definitions stand before ours, within it only."""
    engine = Engine({"_ask": lambda _: "1"}, lambda: False, WRAPPERS)
    source = f"def {name}(n):\n    return n + 1\n" + body(f"[{name}(argument)]")
    for _ in range(2):
        assert value_of(engine.compile(source).run(engine.options, "1")) == [2]
    assert value_of(engine.compile(body("asked(argument)")).run(engine.options, "2")) == 1


def test_what_we_call_takes_no_frame_from_a_contract() -> None:
    """49 functions inside one another, whatever the innermost asks; a few more if it asks nothing."""
    engine = Engine({"_ask": lambda _: "0"}, lambda: False, WRAPPERS)
    source = "def f(n):\n    return {} if n == 0 else f(n - 1)\n" + body("f(argument)")
    for last in ("0", "asked(0)"):
        assert value_of(engine.compile(source.format(last)).run(engine.options, "47")) == 0
    with pytest.raises(ContractError):
        engine.compile(source.format("0")).run(engine.options, "52")


@pytest.mark.parametrize("expression", ["float(1)", "float('inf')", "[float(1)]", "int(float('1'))"])
def test_float_is_gone(expression: str) -> None:
    """The scan refuses literals and division; the function is taken away."""
    with pytest.raises(ContractError):
        run(body(expression))


@given(
    st.lists(
        st.sampled_from(
            [
                "'",
                '"',
                "'''",
                '"""',
                "\\",
                "r",
                "#",
                "\n",
                "1.5",
                "a",
                ",",
                " ",
                "1e5",
                "1/2",
                "(",
                ")",
                "f'",
                "R'",
                "b'",
            ]
        ),
        max_size=12,
    )
)
def test_no_float_hides_from_the_scan(soup: list[str]) -> None:
    """Where scan and engine both take a source, they agree on what is a string and what a comment."""
    source = f"def execute(a):\n  return [{''.join(soup)}\n  ]\n"
    try:
        scan_source(source, Limits())
        value = run(source)
    except (SourceRefusedError, ContractError):
        return
    assert "float" not in [type(item).__name__ for item in value]


def test_nothing_else_is_within_reach() -> None:
    """No import, no output, no other library of the engine, no types."""
    for expression in ("json.encode(1)", "print(1)", "struct(a = 1)", "set([1])", "open('x')", "eval('1')"):
        with pytest.raises(ContractError):
            run(body(expression))
    for source in (
        "load('a', 'b')\n" + body("b"),
        "def execute(a: int):\n  return 1\n",
        "for i in [1]:\n  i\n",
    ):
        with pytest.raises(ContractError):
            run(source)


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ("def execute(a):\n  for i in range(2500000):\n    pass\n", 2500),
        (body("len([i for i in range(10500)])"), 10),
        ("def f(n):\n  return n\ndef execute(a):\n  for i in range(1000):\n    f(i)\n", 2),
        ("def f(n):\n  return 0 if n == 0 else f(n - 1) + f(n - 1)\ndef execute(a):\n  return f(13)\n", 16),
    ],
)
def test_steps_are_counted_alike(source: str, asked: int) -> None:
    """Once per 1,000 loop steps and function calls, on every run."""
    for _ in range(3):
        steps = [0, asked]
        run(source, steps=steps)
        assert steps[0] == asked


def test_steps_end_a_contract() -> None:
    """The first refusal to go on ends it."""
    steps = [0, 7]
    with pytest.raises(ContractError):
        run("def execute(a):\n  for i in range(1000000000):\n    pass\n", steps=steps)
    assert steps[0] == 8


def test_frozen_constants_cannot_carry_state() -> None:
    """A contract leaves nothing behind for its next run."""
    with pytest.raises(ContractError):
        run("A = []\ndef execute(a):\n  A.append(1)\n")


def test_errors_carry_no_text() -> None:
    """The engine's texts, which carry Python's own, end here."""
    with pytest.raises(ContractError) as raised:
        run(body("argument['x']"), {})
    assert str(raised.value) == ""
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("kind", EXHAUSTION)
def test_exhaustion_is_no_error_of_a_contract(kind: type[Exception]) -> None:
    """By whatever name Python says that memory or stack has ended, inside the engine too."""

    def at_the_end() -> None:
        raise kind("error return without exception set")

    with pytest.raises(ExhaustedError):
        run(body("f()"), f=at_the_end)


class _Owner:
    """Who gives an engine its calls, and keeps the engine: a circle that leads through memory that is not Python's."""

    def __init__(self) -> None:
        self.engine = Engine({"ask": self.ask}, self.is_cancelled)
        self.program = self.engine.compile(body("ask()"))

    def ask(self) -> int:
        return 1

    def is_cancelled(self) -> bool:
        return False


def test_a_closed_engine_ends_with_its_owner() -> None:
    """Nothing else breaks that circle, and an engine holds 100 KB."""
    owner = _Owner()
    assert value_of(owner.program.run(owner.engine.options, "null")) == 1
    gone = weakref.ref(owner)
    owner.engine.close()
    del owner.program, owner
    gc.collect()
    assert gone() is None
