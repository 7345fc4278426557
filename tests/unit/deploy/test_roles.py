"""What a role's process says as it ends, and to a command line that is wrong."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.home import Home
from deploy.initialize import NewLedger, initialize
from deploy.roles import learner
from deploy.roles.entry import RoleStatus
from protocol.errors import ERRORS
from streams.role_directory import STATUS_FILE, RoleConfiguration
from streams.stop_signal import StopSignal

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("arguments", [("/nonexistent",), ()])
def test_a_missing_directory_is_named(arguments: tuple[str, ...]) -> None:
    """In one line, with the exit code of a world that is not there."""
    command = [sys.executable, "-m", "deploy.roles.learner", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "the directory of a role" in done.stderr
    assert len(done.stderr.splitlines()) == 1


ENDS = {
    "told to": ("return None", 0, ("stopped", "")),
    "its machine halts": ("return Halt(code='store.wiped', text='seen')", 3, ("halted", "store.wiped")),
    "its disk is full": ("import errno; raise OSError(errno.ENOSPC, 'seen')", 4, ("halted", "disk.full")),
    "it cannot work": ("raise CountersignError('config.invalid', 'seen')", 4, ("halted", "config.invalid")),
}


@pytest.mark.parametrize("end", ENDS)
def test_how_a_role_ends_is_its_exit_code_and_its_state(tmp_path: Path, end: str) -> None:
    """A supervisor goes by the code; people by the state, which says what was seen and what to do."""
    does, code, state = ENDS[end]
    RoleConfiguration(directory=tmp_path, ledger_id="ab" * 32, public="../public").save()
    program = (
        "import sys\nfrom deploy.roles.entry import run_role\nfrom protocol.errors import CountersignError\n"
        f"from storage.effects import Halt\ndef run(configuration, stop, status):\n    {does}\nsys.exit(run_role(run))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = RoleStatus(tmp_path).read()
    assert (done.returncode, (said["state"], said["code"])) == (code, state)
    if state[1]:
        assert said["remedy"] == ERRORS[state[1]].remedy
        assert "seen" in str(said["text"])
        assert all(text in done.stderr for text in (state[1], "seen", ERRORS[state[1]].remedy))


@pytest.mark.parametrize(("end", "code"), [("None", 0), ("Halt(code='disk.full', text='seen')", 3)])
def test_on_a_full_disk_a_role_ends_as_it_would(tmp_path: Path, end: str, code: int) -> None:
    """What it cannot write is in its log, without a traceback; the state before stays, and nothing beside it."""
    RoleConfiguration(directory=tmp_path, ledger_id="ab" * 32, public="../public").save()
    RoleStatus(tmp_path).write("standby")
    program = (
        "import errno, sys\nfrom pathlib import Path\nfrom deploy.roles.entry import run_role\n"
        "from storage.effects import Halt\n"
        "def full(path, text):\n    path.touch()\n    raise OSError(errno.ENOSPC, 'No space left')\n"
        f"def run(configuration, stop, status):\n    Path.write_text = full\n    return {end}\nsys.exit(run_role(run))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "No space left" in done.stderr
    assert ("disk.full: seen" in done.stderr) == (code == 3)
    assert RoleStatus(tmp_path).read()["state"] == "standby"
    assert {each.name for each in tmp_path.iterdir()} == {STATUS_FILE, "role.toml"}


def test_a_state_is_replaced_whole(tmp_path: Path) -> None:
    """Whoever reads meanwhile reads the one before: the file is another one, and nothing is left beside it."""
    status = RoleStatus(tmp_path)
    status.write("standby")
    with (tmp_path / STATUS_FILE).open() as reader:
        status.write("active", address="here")
        assert json.load(reader)["state"] == "standby"
    assert (status.read()["state"], status.read()["address"]) == ("active", "here")
    assert [each.name for each in tmp_path.iterdir()] == [STATUS_FILE]


@pytest.mark.parametrize(("name", "said"), [("mine", "is not named replica-N"), ("replica-9", "of replica 9")])
def test_a_replica_s_number_is_in_the_name_of_its_directory(tmp_path: Path, name: str, said: str) -> None:
    """Also where it is started from within; one that has none, or another's, says so."""
    home = Home(tmp_path / "home")
    initialize(home, NewLedger())
    place = home.role("replica-0").rename(home.role(name))
    command = [sys.executable, "-m", "deploy.roles.replica", "."]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "config.invalid" in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_learner_that_cannot_say_that_it_works_gives_its_views_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk; otherwise the engine lists what was not closed behind the reason, where it is looked for."""
    happened: list[str] = []
    views = SimpleNamespace(close=lambda: happened.append("closed"))
    server = SimpleNamespace(url="", start=lambda: happened.append("started"), stop=lambda: happened.append("stopped"))
    process = SimpleNamespace(epochs=SimpleNamespace(ledger_id=b""))
    monkeypatch.setattr(learner, "open_follower", lambda *_: nullcontext(process))
    monkeypatch.setattr(learner, "DuckDbViews", lambda *_: views)
    monkeypatch.setattr(learner, "QueryServer", lambda *_, **__: server)
    monkeypatch.setattr(learner, "limit_growth", lambda: None)
    configuration = RoleConfiguration(directory=tmp_path, ledger_id="ab" * 32, public="../public")
    status = RoleStatus(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        learner.run(configuration, StopSignal(), status)
    assert happened == ["started", "stopped", "closed"]
