"""`receipt verify`: what is wrong with the command line is no setting."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.command_line import app


@pytest.mark.parametrize("command", ["receipt", "evidence"])
@pytest.mark.parametrize("file", [".", "none"])
def test_a_file_that_cannot_be_read_has_its_own_code(tmp_path: Path, command: str, file: str) -> None:
    """A directory, or nothing at all; the file is named."""
    arguments = [command, "verify", str(tmp_path / file), "--ledger-id", "00" * 32, "--json"]
    done = CliRunner().invoke(app, arguments)
    said = json.loads(done.stdout)
    assert (done.exit_code, said["error"]) == (4, "file.unusable")
    assert str(tmp_path / file) in said["detail"]


def test_a_ledger_id_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    """It is an option's value."""
    (tmp_path / "a.receipt").write_bytes(b"x")
    done = CliRunner().invoke(app, ["receipt", "verify", str(tmp_path / "a.receipt"), "--ledger-id", "xyz"])
    assert done.exit_code == 2
