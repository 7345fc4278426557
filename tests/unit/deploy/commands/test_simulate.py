"""`simulate`: what was not run is not called well."""

import pytest
from typer.testing import CliRunner

from tests.command_line import app


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--planted", "foo"], "known are"),
        (["--planted", "foo", "--transactions"], "silence taken for failure"),
        (["--seeds", "0"], "--seeds"),
    ],
)
def test_what_cannot_be_run_is_wrong_usage(arguments: list[str], words: str) -> None:
    """No such bug, or not one seed."""
    done = CliRunner().invoke(app, ["simulate", *arguments], env={"COLUMNS": "2000"})
    assert done.exit_code == 2
    assert words in done.output


def test_the_help_names_the_bugs() -> None:
    """Those of a ledger and those of transactions."""
    said = CliRunner().invoke(app, ["simulate", "--help"], env={"COLUMNS": "2000"}).output
    assert "silence taken for failure" in said
