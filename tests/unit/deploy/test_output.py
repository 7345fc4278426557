"""What commands print: data as it is, errors with what to do, exit codes."""

import errno
import json
import os
from functools import partial
from pathlib import Path

import pytest
import typer

from deploy.instructions import with_instructions
from deploy.output import Output, run
from protocol.errors import ERRORS, CountersignError
from protocol.requests import RequestError
from schemas.errors import MalformedMessageError
from streams.client import RejectedError

MARKUP = "[/x] [red]é[/red]"


def _raise(error: Exception, _: Output) -> int:
    raise error


def test_data_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in tables, nor in details, nor in what cannot be read."""
    Output(as_json=False).table(MARKUP, (MARKUP,), [(MARKUP,)])
    Output(as_json=False).table(MARKUP, (), [])
    for error in (CountersignError("contract.failed", MARKUP), MalformedMessageError(MARKUP)):
        with pytest.raises(typer.Exit):
            run(False, partial(_raise, error))
    assert capsys.readouterr().out.count(MARKUP) == 6


def test_cells_say_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """True is no 1."""
    Output(as_json=False).table("", ("a", "b"), [(True, 1_000), (False, 2)])
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [["true", "1,000"], ["false", "2"]]


def test_a_table_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """A header alone might be the beginning of something."""
    Output(as_json=False).table("evidence", ("kind",), [])
    assert capsys.readouterr().out == "evidence: none\n"


def test_lines_keep_paths_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal nothing is broken at some width."""
    path = "/a" * 200
    Output(as_json=False).say(f"see {path}")
    Output(as_json=False).table("", ("file", "kind"), [(path, "evidence")])
    assert capsys.readouterr().out.count(path) == 2


@pytest.mark.parametrize("code", ERRORS)
def test_what_is_known_of_a_code_is_shown_whole(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A bracket in it is no markup; a command in it is told with the home that the user named."""
    home = Path("/a/home")
    Output(as_json=False, home=home).explain(code, "")
    row, shown = ERRORS[code], capsys.readouterr().out
    for text in (row.message, row.cause, with_instructions(row.remedy, home)):
        assert text in shown
    assert shown.count("--home /a/home") == row.remedy.count("`countersign ")


def test_programs_are_told_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    """What people read on the screen."""
    with pytest.raises(typer.Exit) as ended:
        run(True, partial(_raise, CountersignError("broker.unreachable", "why")))
    said = json.loads(capsys.readouterr().out)
    assert ended.value.exit_code == 4
    assert said["detail"] == "why"
    assert "countersign up" in said["remedy"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "file.unusable"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x"), "file.unusable"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk.full"),
    ],
)
def test_what_the_system_refuses_has_a_code(error: OSError, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And no traceback; the file is named."""
    with pytest.raises(typer.Exit) as ended:
        run(True, partial(_raise, error))
    assert ended.value.exit_code == 4
    assert json.loads(capsys.readouterr().out)["error"] == code


def test_what_cannot_be_read_has_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    """As everything else that a program may be told."""
    with pytest.raises(typer.Exit) as ended:
        run(True, partial(_raise, MalformedMessageError("order: bytes behind the end")))
    said = json.loads(capsys.readouterr().out)
    assert (ended.value.exit_code, said["error"], said["detail"]) == (
        5,
        "message.malformed",
        "order: bytes behind the end",
    )


@pytest.mark.parametrize("refused", [RequestError("request.too_large"), RejectedError("request.too_large")])
def test_who_turned_a_request_away_makes_no_difference(refused: CountersignError) -> None:
    """The client at once, or the Auditor."""
    with pytest.raises(typer.Exit) as ended:
        run(True, partial(_raise, refused))
    assert ended.value.exit_code == 3


def test_an_error_of_no_file_is_a_bug() -> None:
    """It is not covered up."""
    with pytest.raises(ConnectionResetError):
        run(True, partial(_raise, ConnectionResetError(errno.ECONNRESET, "reset")))


def test_a_code_of_another_version_is_said_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """A halt, or an outcome of a newer ledger, which this version's table does not have."""
    with pytest.raises(typer.Exit) as ended:
        run(True, partial(_raise, CountersignError("code.of_tomorrow", "why")))
    said = json.loads(capsys.readouterr().out)
    assert (ended.value.exit_code, said["error"], said["detail"]) == (4, "code.of_tomorrow", "why")
    assert said["remedy"]


def test_a_file_s_name_that_is_no_text_is_told_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """And told so that a program finds the file."""
    name = os.fsdecode(b"/home/\xff")
    Output(as_json=True).result({"home": name})
    assert json.loads(capsys.readouterr().out) == {"home": name}
