"""`demo` leaves nothing that cannot be got rid of."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.home import Home
from deploy.initialize import NewLedger, initialize
from deploy.local.stack import LocalStack
from deploy.local.supervisor import Service
from tests.command_line import app


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with something in it that is no demonstration's."""
    (tmp_path / "maven").mkdir()
    monkeypatch.setenv("COUNTERSIGN_CACHE", str(tmp_path))
    return tmp_path


def test_a_demonstration_that_was_kept_is_stopped_and_removed(cache: Path) -> None:
    """Its processes too, and nothing else; a second time there is nothing to do."""
    home = Home(cache / "demo")
    initialize(home, NewLedger())
    stack = LocalStack(home.stack)
    argv = (sys.executable, "-c", "import time; time.sleep(600)")
    stack.supervisor.start(Service(name="kept", argv=argv, log_file=stack.log_file("kept")))
    kept = stack.supervisor.identity("kept")
    assert kept is not None
    for _ in range(2):
        done = CliRunner().invoke(app, ["demo", "--forget", "--json"])
        assert (done.exit_code, json.loads(done.stdout)["home"]) == (0, str(home.directory))
        assert not kept.is_alive()
        assert [each.name for each in cache.iterdir()] == ["maven"]


@pytest.mark.parametrize("words", [["--home", "x"], ["--keep"]])
def test_only_what_the_demonstration_made_by_itself_is_forgotten(cache: Path, words: list[str]) -> None:
    """A directory that the user named is his."""
    done = CliRunner().invoke(app, ["demo", "--forget", *words])
    assert (done.exit_code, "--forget" in done.output) == (2, True)
