"""What holds for every command, of each group, those of tomorrow too."""

from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from tests.command_line import app

WANTED = (
    "init", "up", "down", "status", "execute", "get", "history", "sql", "demo", "simulate", "bench transfer",
    "bench put", "entity register", "entity rotate", "entity revoke", "contract register", "contract namespace",
    "receipt verify", "evidence list", "evidence verify",
)  # fmt: skip
"""Those that were promised from the first."""


def _below(command: object, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Every command with its options."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words, {name for option in command.params for name in option.opts}  # type: ignore[attr-defined]
        return
    for name, each in inner.items():
        yield from _below(each, (*words, name))


COMMANDS = dict(_below(typer.main.get_command(app)))


def test_every_promised_command_is_there() -> None:
    """And perhaps more."""
    assert {tuple(words.split()) for words in WANTED} <= COMMANDS.keys()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_and_speaks_to_programs(words: tuple[str, ...]) -> None:
    """`--help` shows one, and there is `--json`."""
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0
    assert f"countersign {words[0]}" in done.output.partition("Example:")[2]
    assert "--json" in COMMANDS[words]
