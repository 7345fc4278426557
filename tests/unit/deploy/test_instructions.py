"""What a user is told to type can be typed: it exists, it is started as he starts it, and it works on his ledger."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from deploy import instructions
from deploy.instructions import instruction, with_instructions
from protocol.errors import ERRORS
from tests.command_line import app

TOLD = [
    (code, words)
    for code, row in ERRORS.items()
    for text in (row.message, row.cause, row.remedy)
    for words in re.findall(r"`countersign ([^`]+)`", text)
]


def _help(words: str) -> str:
    """The help of the command that these words begin with, "" where there is none."""
    command = get_command(app)
    path: list[str] = []
    for word in shlex.split(words):
        command = getattr(command, "commands", {}).get(word, None) or command
        path += [word] if command.name == word else []
    return CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"}).output if path else ""


@pytest.mark.parametrize(("code", "words"), TOLD)
def test_every_command_of_the_table_exists_and_takes_a_home(code: str, words: str) -> None:
    """So it can be told with the home that the user named."""
    assert "--home" in _help(words), code


@pytest.mark.parametrize("code", ERRORS)
def test_every_command_of_the_table_is_marked(code: str) -> None:
    """Else it is told without the home."""
    row = ERRORS[code]
    unmarked = re.sub(r"`[^`]*`", "", f"{row.message} {row.cause} {row.remedy}")
    assert "countersign" not in unmarked


def test_the_home_that_was_named_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quoted for the shell; the usual one goes without saying."""
    monkeypatch.setattr(instructions, "_program", lambda: "countersign")
    home = tmp_path / "my ledger"
    assert instruction("up") == "countersign up"
    assert shlex.split(instruction("up", home)) == ["countersign", "up", "--home", str(home)]
    told = with_instructions("Start it with `countersign up`; see `countersign status`, or `--broker`.", tmp_path)
    assert told == (
        f"Start it with `countersign up --home {tmp_path}`; see `countersign status --home {tmp_path}`, or `--broker`."
    )


def test_the_program_is_what_starts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name where the shell finds it; its place where it finds none, or another one; short within the checkout."""
    program = tmp_path / ".venv" / "bin" / "countersign"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    monkeypatch.setenv("PATH", str(program.parent))
    assert instruction("up") == "countersign up"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert instruction("up") == f"{program} up"
    monkeypatch.chdir(tmp_path)
    assert instruction("up") == ".venv/bin/countersign up"
    program.unlink()
    assert instruction("up") == "countersign up"
