"""Wrong usage is an object for programs, as every other error is, and words for people."""

import json

import pytest
from typer.testing import CliRunner

from tests.command_line import app

WRONG = {
    "no such command": (["frob"], "frob"),
    "no such command of a group": (["entity", "frob"], "frob"),
    "no such option": (["status", "--frob"], "--frob"),
    "no such option before the command": (["--frob", "status"], "--frob"),
    "an argument is missing": (["get"], "key"),
    "one too many": (["get", "a", "b"], "b"),
    "an option without its value": (["get", "a", "--as"], "--as"),
    "a value of another type": (["bench", "transfer", "--seconds", "many"], "--seconds"),
    "a value out of range": (["init", "--partitions", "0"], "--partitions"),
    "a value that the command judges": (["execute", "a/0", "{}"], "a/0"),
}


@pytest.mark.parametrize(("words", "named"), WRONG.values(), ids=WRONG.keys())
def test_programs_are_told_by_an_object_on_the_last_line(words: list[str], named: str) -> None:
    """With the code, what is wrong, and the usual exit code; people read the same on standard error."""
    place = words.index("--as") if "--as" in words else len(words)
    done = CliRunner().invoke(app, [*words[:place], "--json", *words[place:]])
    assert done.exit_code == 2
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["error"] == "usage.wrong"
    assert named in said["detail"]
    assert said["remedy"]
    assert named in done.stderr


@pytest.mark.parametrize("words", [words for words, _ in WRONG.values()], ids=WRONG.keys())
def test_people_are_told_once(words: list[str]) -> None:
    """Nothing on standard output, where a result would be."""
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, done.stdout) == (2, "")
