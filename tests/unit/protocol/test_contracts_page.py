"""What `docs/contracts.md` and README say of contracts is what happens."""

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from protocol.contracts.calls import Rejected
from protocol.contracts.genesis import GENERIC_CONTRACTS, generic_source
from protocol.contracts.host import Host
from protocol.contracts.registry import BUILT_IN, CONTRACT_REGISTER
from protocol.limits import Limits
from tests.unit.protocol.contract_world import World, call

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "contracts.md").read_text()
"""Blocks of contracts begin with a comment that is their name; blocks of calls say what comes of each."""


class Told(NamedTuple):
    """A call as the page shows it."""

    entity: str
    contract: str
    argument: str
    result: str


def page_contracts() -> dict[str, str]:
    return {name: source for source, name in re.findall(r"```python\n(# ([\w.]+)\n.*?)```", PAGE, re.DOTALL)}


def page_calls() -> list[Told]:
    calls = []
    for entity, block in re.findall(r"```calls(?: of (\w+))?\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            asked, result = line.split("->")
            contract, argument = asked.split(maxsplit=1)
            calls.append(Told(entity or "admin", contract, argument, result.strip()))
    return calls


def come_of(world: World, told: Told) -> object:
    """The output of a call, or its code and the text behind it."""
    (result,) = world.run(call(told.contract, json.loads(told.argument), told.entity))
    if isinstance(result, Rejected):
        return result.code
    if result.status == "ok":
        return json.loads(result.output)
    return f"{result.code}: {result.fail_text}" if result.fail_text else result.code


def expected(result: str) -> object:
    """What the page says that comes of something: JSON, or a code."""
    return result if re.match(r"[a-z]+\.[a-z_]+", result) else json.loads(result)


@pytest.fixture
def world() -> World:
    """The page's contracts, each registered by whom the page says."""
    world = World()
    world.enrol("alice", [CONTRACT_REGISTER])
    for name, source in page_contracts().items():
        world.register(source, name, entity="alice" if name.startswith("shop.") else "admin")
    return world


def test_the_calls_of_the_page(world: World) -> None:
    """In their order, on one ledger."""
    calls = page_calls()
    assert len(calls) > 10
    for told in calls:
        assert come_of(world, told) == expected(told.result), told


def test_the_table_of_values(world: World) -> None:
    """Each body is registered as a contract of its own, and called."""
    world.do("sys.namespace.create", {"namespace": "parts"})
    rows = re.findall(r"^\| `((?:return|put|get|scan|print|invoke|for)\b[^`]*)` \| `([^`]*)` \|$", PAGE, re.MULTILINE)
    assert len(rows) > 20
    for number, (body, result) in enumerate(rows):
        source = f"def execute(argument):\n    {body}\n"
        registered = world.do("sys.contract.register", {"contract": f"c{number}", "version": 1, "source": source})
        found = registered.code or come_of(world, Told("admin", f"c{number}", "null", ""))
        assert found == expected(result), body


def test_every_call_has_its_row() -> None:
    """No call of the host is left out, and none is there that it does not have."""
    told = re.findall(r"^\| `(\w+)\([\w, ]*\)` \|.*\|.*\|$", PAGE, re.MULTILINE)
    assert sorted(told) == sorted(Host(Limits())._engine.names)


def test_the_functions_that_are_named_are_there(world: World) -> None:
    """All of Starlark's that the page lists, and what it says is missing."""
    (names,) = re.findall(r"Of Starlark's functions there are (.*?), and the methods", PAGE, re.DOTALL)
    listed = re.findall(r"`(\w+)`", names)
    assert len(listed) > 20
    source = f"def execute(argument):\n    return [type(f) for f in [{', '.join(listed)}]]\n"
    world.register(source, "functions")
    assert come_of(world, Told("admin", "functions", "null", "")) == ["function"] * len(listed)
    for body in ("while True: pass", "try: pass", "return 1 is 1", "return f'1'", "return 2 ** 3", "import os"):
        source = f"def execute(argument):\n    {body}\n"
        refused = world.do("sys.contract.register", {"contract": "none", "version": 1, "source": source})
        assert refused.code == "contract.source_refused", body


def test_every_contract_of_the_start_is_there() -> None:
    """Generic and built-in ones, with the arguments of the generic ones."""
    section = PAGE.partition("## What is there from the start")[2]
    rows: dict[str, str] = {}
    for row in (line.split("|") for line in section.splitlines() if line.startswith("| `")):
        rows.update(dict.fromkeys(re.findall(r"`([a-z.]+)`", row[1]), row[2]))
    assert rows.keys() == {*GENERIC_CONTRACTS, *BUILT_IN}
    for name in GENERIC_CONTRACTS:
        (names,) = re.findall(r"Argument: {(.*)}", generic_source(name))
        assert re.findall(r"\w+", rows[name]) == re.findall(r"\w+", names), name


def test_the_figures_of_the_page_are_the_limits() -> None:
    """Of the table of limits, and of the text."""
    limits = Limits()
    for figure in (
        f"source | {limits.contract_source_bytes:,} bytes, {limits.contract_line_tokens} tokens a line",
        f" tokens a line, {limits.contract_brackets} open brackets |",
        f"argument | {limits.argument_bytes:,} bytes |",
        f"one value | {limits.value_bytes:,} bytes |",
        f"together | {limits.request_output_bytes:,} bytes |",
        f"and scans | {limits.records_per_request} |",
        f"table above | {limits.contract_steps:,} |",
        f"{limits.contract_memory_bytes >> 20} MiB, {limits.contract_cpu_ms // 1000} s |",
        f"{limits.name_bytes} bytes; {limits.key_bytes:,} bytes |",
        f"outside of 1 to {limits.records_per_request}.",
        f"at most {limits.contract_nesting} are inside",
    ):
        assert figure in PAGE, figure


def test_the_contract_of_the_readme() -> None:
    """It is registered and does what it says."""
    (source,) = re.findall(r"```python\n(def execute\(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    world = World()
    world.do("sys.namespace.create", {"namespace": "parts"})
    world.register(source, "parts.take")
    taken = Told("admin", "parts.take", '{"part": "bolt", "count": 1}', "")
    assert come_of(world, taken) == "contract.failed: not enough in stock"
