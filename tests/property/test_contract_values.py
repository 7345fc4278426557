"""What a contract writes, gives and passes on, against what the value alone says: its canonical JSON and its length.

Texts at the engine's border that are canonical already take a shorter way where there is a compiler, so one party may
have it and the other not.
"""

from dataclasses import replace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from protocol.canonical_json import INTEGER_MAX, NotCanonicalError, dumps
from protocol.contracts.calls import Execution
from protocol.contracts.execution import Runner
from tests.unit.protocol.contract_world import LIMITS, World, call

TEXTS = st.text(st.sampled_from('aé😀"\\\n\x00\x1f\x7f.1e[{('), max_size=3)
NUMBERS = st.integers(-INTEGER_MAX, INTEGER_MAX) | st.sampled_from([10**15 - 1, 10**15, INTEGER_MAX, -INTEGER_MAX])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
REBUILT = {
    "as it is": "a",
    "keys the other way round": "{k: a[k] for k in reversed(sorted(a))} if type(a) == 'dict' else a",
    "a tuple": "(a, a)",
    "inside a key": "{'b': 0, 'a': a}",
    "a number as a key": "{1: a}",
    "one more than there is": "[a, 9007199254740992]",
    "beyond all bounds": "[a, 1 << 2000]",
}
WAYS = {
    "value_bytes": "put('notes', 'k', {})",
    "request_output_bytes": "return {}",
    "argument_bytes": "invoke('idle/1', {})",
}


def expected(way: str, value: Any) -> Any:
    """What a contract makes of its argument; a set, which JSON cannot hold, where that has no value."""
    match way:
        case "a tuple":
            return [value, value]
        case "inside a key":
            return {"a": value, "b": 0}
        case "as it is" | "keys the other way round":
            return value
        case _:
            return set()


def world() -> World:
    """A ledger with a contract for everything that crosses the border, each way."""
    made = World()
    assert made.do("sys.namespace.create", {"namespace": "notes"}).status == "ok"
    made.register("def execute(a):\n    return None\n", "idle")
    for number, rebuilt in enumerate(REBUILT.values()):
        for place, way in enumerate(WAYS.values()):
            made.register(f"def execute(a):\n    {way.format(rebuilt)}\n", f"c{number}.{place}")
    return made


WORLD = world()


@given(VALUES, st.sampled_from(list(REBUILT)), st.sampled_from(list(WAYS)), st.integers(-1, 1))
@example("x", "as it is", "value_bytes", 0)
@example("x", "as it is", "argument_bytes", 0)
@example("é", "as it is", "value_bytes", 0)
@example({"a": 0, "b": 0}, "keys the other way round", "request_output_bytes", 0)
def test_the_outcome_is_that_of_the_value(value: Any, rebuilt: str, limited: str, room: int) -> None:
    """It is taken as its canonical JSON up to the limit, too long beyond it, and refused where JSON cannot hold it."""
    contract = f"c{list(REBUILT).index(rebuilt)}.{list(WAYS).index(limited)}"
    made = call(contract, value)
    try:
        data = dumps(expected(rebuilt, value))
    except NotCanonicalError:
        data = b""
    most = max(len(data) + room, 4)  # `null`, which is what a `put` and an `invoke` end with
    limits = replace(LIMITS, **{"value_bytes": 1, limited: most})
    (result,) = Runner(limits).run(WORLD.batch(made), WORLD)
    assert isinstance(result, Execution)
    if not data:
        assert (result.code, result.output, result.writes) == ("contract.value", b"", ())
    elif len(data) > most:
        assert (result.code, result.output, result.writes) == ("contract.output_too_large", b"", ())
    else:
        assert result.code == ""
        assert result.output == (data if limited == "request_output_bytes" else b"null")
        assert [write.record.value for write in result.writes] == ([data] if limited == "value_bytes" else [])
