"""`sql`: an answer is shown as SQL has it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.commands import sql as module
from tests.command_line import app


@pytest.mark.parametrize(
    ("rows", "options", "said"), [([], [], True), ([[1]], [], False), ([], ["--wait-for", "2"], False)]
)
def test_who_finds_nothing_is_told_how_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[list[int]], options: list[str], said: bool
) -> None:
    """What was written last may be on its way yet; who waited knows."""
    answer: Any = SimpleNamespace(columns=["a"], rows=rows, sequence=3)
    monkeypatch.setattr(module, "query_client", lambda _: SimpleNamespace(query=lambda *_, **__: answer))
    done = CliRunner().invoke(app, ["sql", "SELECT", "--home", str(tmp_path), *options])
    assert done.exit_code == 0, done.output
    assert ("--wait-for" in done.output) == said


def test_values_are_shown_as_sql_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NULL, truth, text that looks like markup, and one row that is one row."""
    answer: Any = SimpleNamespace(columns=["[/a]", "b", "c"], rows=[[None, True, "[/x]"]], sequence=3)
    client = SimpleNamespace(query=lambda *_, **__: answer)
    monkeypatch.setattr(module, "query_client", lambda _: client)
    done = CliRunner().invoke(app, ["sql", "SELECT", "--home", str(tmp_path)])
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.output.splitlines() if line.strip()]
    assert lines[:2] == [["[/a]", "b", "c"], ["NULL", "true", "[/x]"]]
    assert "1 row, as of sequence 3" in done.output
