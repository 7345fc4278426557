"""Surroundings: no setting of a machine makes two parties differ."""

import os
import random
import subprocess
import sys
from dataclasses import replace

import pytest

from protocol.limits import Limits
from streams.executor import Executor
from tests.unit.protocol.contract_world import call, notes_world
from tests.unit.streams.executor_parties import MIB, ROOT

SURROUNDINGS: dict[str, dict[str, str]] = {
    "plain": {},
    "hash seed 1": {"PYTHONHASHSEED": "1"},
    "random hashes": {"PYTHONHASHSEED": "random"},
    "few digits": {"PYTHONINTMAXSTRDIGITS": "640"},
    "any digits": {"PYTHONINTMAXSTRDIGITS": "0"},
    "C locale": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0"},
    "another locale": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
    "development": {"PYTHONDEVMODE": "1", "PYTHONMALLOC": "debug"},
    "small stack": {},
    "great stack": {},
}
STACKS = {"small stack": 512 * 1024, "great stack": 64 * MIB}
"""What the system allows the first thread of the parent, and of whatever it starts."""

EXPRESSIONS = (
    "str(int('9' * %d)) == '9' * %d",
    "int('9' * (%d + 4200))",
    "[hash(str(%d)), hash('é' * %d)]",
    "sorted([str(i * %d %% 97) for i in range(%d)])",
    "{str(i): i for i in range(%d)}.keys() + [%d]",
    "['İ'.lower(), 'straße'.upper() * %d][%d %% 2]",
    "(1 << %d) %% (%d + 1)",
    "-(7 << %d) // (%d + 3)",
    "'%%s %%r' %% (%d, 'é%d')",
    "[1 // (%d %% 3), %d]",
    "[x for x in range(%d) if x %% 7 == %d %% 7]",
    "str({'a': (%d, [None, {'é': %d}])})",
    "len(('aé😀' * %d).elems()) + %d",
    "[get('notes', str(i)) for i in range(%d %% 9)] + [%d]",
    "[put('notes', str(i), [i, %d]) for i in range(%d %% 9)]",
    "scan('notes', '', '', %d %% 20 + 1)['rows'][:%d]",
    "[i for i in range(%d * 500)][-%d:][:3]",
    "('ab' * %d)[%d]",
    "called(%d %% 60) + %d",
    "nested(%d * 60) + %d",
)
DEEP = """
def called(n):
    return 0 if n == 0 else 1 + called(n - 1)

def nested(n):
    a = []
    for i in range(n):
        a = [a]
    return len(str(a))

"""
"""What takes stack, call by call and level by level: more than a small one has, less than a child process has."""

DIGEST = """
import resource, sys
if limit := int(sys.argv[3]):
    resource.setrlimit(resource.RLIMIT_STACK, (limit, resource.getrlimit(resource.RLIMIT_STACK)[1]))
from hashlib import sha256
from tests.unit.streams.test_executor_surroundings import random_results
print(sha256(random_results(int(sys.argv[1]), int(sys.argv[2]))).hexdigest())
"""


def random_results(count: int, scale: int) -> bytes:
    """Results of `count` random calls, some of which fail, as bytes."""
    rng = random.Random(20)
    limits = replace(Limits(), contract_memory_bytes=128 * MIB)
    party = Executor(limits, scale=scale)
    world = notes_world(party)
    contracts = []
    for number, expression in enumerate(EXPRESSIONS):
        filled = expression.replace("%%", "\0").replace("%d", "{}").replace("\0", "%")
        source = filled.replace("{}", "argument[0]", 1).replace("{}", "argument[1]", 1)
        world.register(f"{DEEP}def execute(argument):\n    return {source}\n", f"c{number}")
        contracts.append(f"c{number}")
    seen = []
    for _ in range(count // 100):
        made = [call(rng.choice(contracts), [rng.randrange(200), rng.randrange(1, 200)]) for _ in range(100)]
        seen += [repr(result) for result in world.run(*made)]
    party.close()
    assert any("'ok'" in result for result in seen)
    assert any("contract.value" in result for result in seen)
    return "\n".join(seen).encode()


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_surroundings_make_no_difference(count: int) -> None:
    """Parents with other hash seeds, digit limits, locales, stacks and bounds get the same results."""
    digests = {}
    for number, (name, environment) in enumerate(SURROUNDINGS.items()):
        scale, stack = 1 + 3 * (number % 2), STACKS.get(name, 0)
        command = [sys.executable, "-c", DIGEST, str(count), str(scale), str(stack)]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, text=True)
        digests[name] = done.stdout
    assert len(set(digests.values())) == 1, digests
