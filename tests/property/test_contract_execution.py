"""Execution against a slow twin that knows nothing of overlays, versions of versions, or portions."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.canonical_json import loads
from protocol.contracts.calls import Execution
from protocol.contracts.execution import execute
from protocol.contracts.overlay import Overlay
from protocol.limits import Limits
from protocol.records import RecordKey
from tests.unit.protocol.contract_world import LEDGER_ID, World, call, notes_world

KEYS = st.sampled_from(["a", "b", "ba", "c", "\uffff", "😀"])
BOUNDS = st.sampled_from(["", "a", "b", "b\0", "c", "d", "😀"])
STEPS = st.one_of(
    st.tuples(st.just("get"), KEYS),
    st.tuples(st.just("put"), KEYS, st.integers(0, 9)),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("scan"), BOUNDS, BOUNDS, st.integers(1, 5)),
    st.tuples(st.just("history"), KEYS, st.integers(1, 4)),
    st.tuples(st.just("fail"), st.just("x")),
).map(list)
CALLS = st.lists(st.lists(STEPS, max_size=5), min_size=1, max_size=6)


class Twin:
    """Every version of every key in a list, None for a deletion."""

    def __init__(self) -> None:
        self.versions: dict[str, list[int | None]] = {}

    def run(self, steps: list[list[Any]]) -> tuple[str, Any]:
        """Status and output of a call."""
        now = {key: versions[-1] for key, versions in self.versions.items()}
        before = dict(now)
        touched: list[str] = []
        output: Any = None
        for name, *arguments in steps:
            if name == "get":
                output = now.get(arguments[0])
            elif name == "put":
                now[arguments[0]] = arguments[1]
                touched.append(arguments[0])
            elif name == "delete":
                now[arguments[0]] = None
                touched.append(arguments[0])
            elif name == "scan":
                output = self._scan(now, before, *arguments)
            elif name == "history":
                output = self._history(*arguments)
            else:
                return "failed", None
        for key in dict.fromkeys(touched):
            if now[key] is not None or before.get(key) is not None:
                self.versions.setdefault(key, []).append(now[key])
        return "ok", output

    def _scan(self, now: dict[str, Any], before: dict[str, Any], start: str, end: str, limit: int) -> Any:
        seen = [key for key in sorted(before) if start <= key and (not end or key < end)][:limit]
        exhausted = len(seen) < limit
        if end and start >= end:
            return {"next": None, "rows": []}
        rows = [
            [key, now[key]]
            for key in sorted(now)
            if now[key] is not None
            and start <= key
            and (not end or key < end)
            and (exhausted or key <= seen[-1])
        ]
        rest = None if exhausted else seen[-1] + "\0"
        return {"next": rows[limit][0] if len(rows) > limit else rest, "rows": rows[:limit]}

    def _history(self, key: str, limit: int) -> Any:
        versions = list(enumerate(self.versions.get(key, []), 1))[::-1][:limit]
        return [{"deleted": v is None, "value": v, "version": n} for n, v in versions]


@settings(max_examples=150)
@given(st.lists(CALLS, min_size=1, max_size=3))
def test_execution_equals_its_slow_twin(batches: list[list[list[list[Any]]]]) -> None:
    """Outputs, failures and every version written, over several batches."""
    world, twin = notes_world(), Twin()
    for batch in batches:
        results = world.run(*[call("notes", steps) for steps in batch])
        for result, steps in zip(results, batch, strict=True):
            assert isinstance(result, Execution)
            status, output = twin.run(steps)
            assert result.status == status
            if status == "ok":
                assert loads(result.output) == output
    written = {key.key: versions for key, versions in world.history.items() if key.namespace == "notes"}
    assert {
        key: [None if r.deleted else loads(r.value) for r in versions] for key, versions in written.items()
    } == (twin.versions)


@settings(max_examples=100)
@given(CALLS, CALLS)
def test_a_batch_in_portions_is_the_same_batch(
    first: list[list[list[Any]]], second: list[list[list[Any]]]
) -> None:
    """Executed call by call, each over what those before it wrote: the same results, byte for byte."""
    world = notes_world()
    world.run(*[call("notes", steps) for steps in first])
    batch = world.batch(*[call("notes", steps) for steps in second])
    whole = world.executor.run(batch, world)
    overlay = Overlay(LEDGER_ID, world, {})
    for index, made in enumerate(batch.calls):
        portion = replace(batch, calls=(made,), first_index=index)
        (result,) = execute(portion, overlay, Limits())
        assert result == whole[index]
        assert isinstance(result, Execution)
        for namespace, key, record in result.writes:
            overlay.write(RecordKey(namespace, key), record)


@settings(max_examples=100)
@given(CALLS, CALLS)
def test_reads_and_scans_are_enough(first: list[list[list[Any]]], second: list[list[list[Any]]]) -> None:
    """What a call says it relied on, and nothing else, gives the same result again: evidence rests on it."""
    world = notes_world()
    world.run(*[call("notes", steps) for steps in first])
    batch = world.batch(*[call("notes", steps) for steps in second])
    before = world
    for index, made in enumerate(batch.calls):
        (result,) = execute(replace(batch, calls=(made,), first_index=index), before, Limits())
        assert isinstance(result, Execution)
        only = World()
        seen = [(read.namespace, read.key, read.version) for read in result.reads]
        seen += [(scan.namespace, row.key, row.version) for scan in result.scans for row in scan.rows]
        only.history = {
            RecordKey(namespace, key): before.history[RecordKey(namespace, key)][:version]
            for namespace, key, version in seen
            if version
        }
        assert execute(replace(batch, calls=(made,), first_index=index), only, Limits()) == (result,)
        for namespace, key, record in result.writes:
            before.history.setdefault(RecordKey(namespace, key), []).append(record)
