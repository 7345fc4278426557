"""What `init`, `up` and `down` refuse, before anything is written."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.commands.ledger import stores_by_namespace
from protocol.errors import CountersignError
from storage.record_stores import StoreKind
from tests.command_line import app


def test_each_namespace_has_its_kind() -> None:
    """Not given at all is something else than nothing: then a ledger keeps what it has."""
    assert stores_by_namespace(["bank=postgresql", "music=sqlite"]) == {
        "bank": StoreKind.POSTGRESQL,
        "music": StoreKind.SQLITE,
    }
    assert stores_by_namespace(None) is None
    assert stores_by_namespace([]) is None


@pytest.mark.parametrize("said", [["bank"], ["bank="], ["=redis"], ["bank=mysql"], ["b k=redis"], ["a=redis"] * 2])
def test_what_makes_no_sense_is_refused(said: list[str]) -> None:
    """Before anything is started."""
    with pytest.raises(CountersignError) as caught:
        stores_by_namespace(said)
    assert caught.value.code == "config.invalid"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["init", "--partitions", "0"], "--partitions"),
        (["init", "--replicas", "3", "--liars", "2"], "--liars"),
        (["init", "--liars", "-1"], "--liars"),
        (["init", "--checksum", "md5"], "--checksum"),
        (["up", "--broker", "localhost:99999"], "--broker"),
        (["up", "--broker", "localhost"], "HOST:PORT"),
        (["up", "--broker", "localhost:9092,:1"], "HOST:PORT"),
    ],
)
def test_wrong_usage_names_the_option(words: list[str], named: str, tmp_path: Path) -> None:
    """As for every other option: exit code 2, and nothing is made."""
    home = tmp_path / "home"
    done = CliRunner().invoke(app, [*words, "--home", str(home)])
    assert done.exit_code == 2
    assert named in done.output
    assert not home.exists()


def test_down_knows_a_ledger_from_a_typo(tmp_path: Path) -> None:
    """Nothing is said to be stopped where nothing ever was."""
    home = tmp_path / "typo"
    done = CliRunner().invoke(app, ["down", "--home", str(home)])
    assert done.exit_code == 4
    assert "config.missing" in done.output
    assert not home.exists()


@pytest.mark.parametrize("command", ["init", "up"])
def test_a_home_that_is_a_file_is_explained(command: str, tmp_path: Path) -> None:
    """With its name."""
    home = tmp_path / "file"
    home.touch()
    done = CliRunner().invoke(app, [command, "--home", str(home)])
    assert (done.exit_code, done.exception.__class__) == (4, SystemExit)
    assert home.name in done.output


def test_init_says_how_to_start_this_very_ledger(tmp_path: Path) -> None:
    """Not the one in the usual place."""
    home = tmp_path / "my ledger"
    done = CliRunner().invoke(app, ["init", "--home", str(home)])
    assert done.exit_code == 0
    assert f"countersign up --home '{home}'" in done.output.replace("\n", "")
