"""What roles run as machine code passes the tests of the sources: the same answers, and the same errors for hostile
bytes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.compiled import is_compiled, root_of_roles
from deploy.compiled_modules import COMPILED

ROOT = Path(__file__).parents[2]
TESTS = {
    "schemas": ("tests/unit/schemas",),
    "protocol": ("tests/unit/protocol", "tests/vectors"),
    "client": tuple(str(file.relative_to(ROOT)) for file in sorted(ROOT.glob("tests/unit/streams/test_client*.py"))),
    "executor": tuple(f"tests/unit/streams/test_executor{part}.py" for part in ("", "_traps", "_wire")),
    "roles": ("tests/unit/auditor", "tests/unit/ledger", "tests/unit/learners", "tests/property"),
}

pytestmark = pytest.mark.skipif(
    not is_compiled(), reason="these sources are not compiled: no compiler, or they were changed (make compile)"
)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the compiled copy in front of the sources."""
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root_of_roles())},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_module_of_the_list_is_machine_code() -> None:
    """In the copy none of them is read as Python."""
    program = "import importlib, sys; print(*(importlib.import_module(m).__file__ for m in sys.argv[1:]), sep='\\n')"
    files = _run("-c", program, *COMPILED).stdout.splitlines()
    assert len(files) == len(COMPILED)
    assert [file for file in files if file.endswith(".py") or not file.startswith(str(root_of_roles()))] == []


def test_the_hashing_in_c_is_there() -> None:
    """The copy finds it, where OpenSSL is: otherwise its twins would be tested in its place, and nobody would know."""
    found = _run("-c", "from protocol.native import NATIVE; print(NATIVE.__file__)")
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith(str(root_of_roles()))


@pytest.mark.parametrize("command", ["bench", "demo", "learn"])
def test_busy_commands_run_it(command: str) -> None:
    """Whoever calls them by the sources; another command loads the sources."""
    program = "import sys; from deploy import cli\ntry: cli.main()\nfinally: print(sys.modules['protocol'].__file__)"
    for word, directory in ((command, root_of_roles()), ("status", ROOT)):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        words = [sys.executable, "-P", "-c", program, word, "--help"]
        told = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
        assert told.splitlines()[-1].startswith(f"{directory}/protocol/"), told


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", TESTS)
def test_compiled_modules_pass_the_tests_of_their_sources(part: str) -> None:
    """Their unit, property and golden tests, run on the copy."""
    run = _run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", f"pythonpath={root_of_roles()} .", *TESTS[part])
    assert run.returncode == 0, run.stdout[-8_000:]
    assert " passed" in run.stdout.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_compiled_machines_hold_the_invariants() -> None:
    """The simulation, run on the copy: machines and twin, faults and recoveries."""
    run = _run("-m", "deploy.cli", "simulate", "--seeds", "40", "--json")
    assert run.returncode == 0, run.stdout[-4_000:] + run.stderr[-4_000:]
    assert json.loads(run.stdout.splitlines()[-1])["seeds"] == 40
