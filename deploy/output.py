"""What commands print: for people on a terminal, or for programs as one JSON object on the last line.

Rules:

1. The result goes to standard output. Progress, tables and explanations go to standard error when `--json` is
   given.
2. Exit codes: 0 done; 1 a bug; 2 wrong usage; 3 the ledger said no (rejected, or the contract failed), or the client
   knew that it would; 4 the world, the configuration or what was given is not as needed; 5 a check failed: a
   receipt, evidence, a comparison or the ledger's state; 129, 130 or 143 ended by a signal.
3. Who is told to end cleans up first, however he is told, and how often.
4. What comes from the ledger, a store or a file is printed as it is: never as markup.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from deploy.ending import ended_in_order
from deploy.home import Home
from deploy.instructions import DEFAULT_HOME, with_instructions
from deploy.local.disk import is_full
from protocol.errors import ERRORS, CountersignError, Explained
from schemas.errors import MalformedMessageError
from streams.client import NoReceiptError, RejectedError
from streams.client_receipts import ContractFailedError

EXIT_REFUSED, EXIT_WORLD, EXIT_CHECK = 3, 4, 5

_FILE_COLUMNS = 1_000
"""Width of what goes to a file or through a pipe, where there is no terminal that has one: rows, paths and hashes
stay on one line."""

_UNKNOWN = Explained(
    code="",
    family="user",
    fault="ours",
    retry="final",
    message="This version does not know the code.",
    cause="Another version said it.",
    remedy="Look it up in the documentation of that version.",
)
_CHECKS = ("receipt.", "evidence.", "genesis.", "epoch.", "statement.", "journal.", "views.")


HomeOption = Annotated[
    Path,
    typer.Option(
        "--home", help="Where the ledger's files are.", envvar="COUNTERSIGN_HOME", show_default=False
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON object on the last line.")
]


class Output:
    """Where a command prints.

    Args:
        as_json: the result goes to programs.
        home: which the command works on, and the commands that it tells the user to type.
    """

    def __init__(self, as_json: bool, home: Path = DEFAULT_HOME) -> None:
        self.as_json = as_json
        self.home = home
        stream = sys.stderr if as_json else sys.stdout
        self.console = Console(file=stream, highlight=False, width=None if stream.isatty() else _FILE_COLUMNS)

    def say(self, text: str) -> None:
        """A line for people, in which the terminal alone breaks hashes and paths; `escape` what is no markup."""
        self.console.print(text, soft_wrap=True)

    def explain(self, code: str, detail: str) -> dict[str, str]:
        """What a code means, for people; the same, for a result."""
        explained, remedy = self._known_of(code)
        self.say(f"[red]{code}[/red]: {escape(explained.message)}")
        if detail:
            self.say(escape(detail))
        self.say(f"[dim]{escape(explained.cause)}[/dim]")
        self.say(escape(remedy))
        return _for_programs(explained, remedy)

    def _known_of(self, code: str) -> tuple[Explained, str]:
        """What the table says of a code, and its remedy as the user types it."""
        explained = ERRORS.get(code, _UNKNOWN)
        return explained, self.told(explained.remedy)

    def told(self, text: str) -> str:
        """A text in which every command is as the user types it."""
        return with_instructions(text, self.home)

    def fail(self, error: CountersignError) -> None:
        """An error, as the result."""
        self.explain(error.code, error.detail)
        self.fail_for_programs(error)

    def fail_for_programs(self, error: CountersignError) -> None:
        """An error, as the result, of which people are told in another way."""
        self.result({"error": error.code, "detail": error.detail, **_for_programs(*self._known_of(error.code))})

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table for people; columns of numbers stand to the right. Without rows it says so."""
        listed = [[*row] for row in rows]
        if not listed:
            self.say(f"[dim]{escape(title)}: none[/dim]" if title else "[dim]no rows[/dim]")
            return
        table = Table(
            title=escape(title),
            title_justify="left",
            title_style="bold",
            header_style="dim",
            box=None,
            pad_edge=False,
        )
        for place, column in enumerate(columns):
            number = all(_is_number(row[place]) for row in listed)
            table.add_column(Text(column), justify="right" if number else "left", overflow="fold")
        for row in listed:
            table.add_row(*map(_cell, row))
        self.console.print(table)

    def result(self, values: Mapping[str, Any]) -> None:
        """The result for programs; people have been told already."""
        if self.as_json:
            try:
                text = orjson.dumps(values).decode()
            except orjson.JSONEncodeError:  # the name of a file may be no UTF-8
                text = json.dumps(values)
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Bars for long work."""
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=self.console,
        ) as bars:
            yield bars


def _for_programs(explained: Explained, remedy: str) -> dict[str, str]:
    return {"message": explained.message, "cause": explained.cause, "remedy": remedy}


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _cell(cell: object) -> Text:
    if isinstance(cell, bool):
        return Text("true" if cell else "false")
    return Text(f"{cell:,}" if isinstance(cell, int) else str(cell))


def run(as_json: bool, command: Callable[[Output], int | None], home: Path = DEFAULT_HOME) -> None:
    """Run a command's work; errors become words, a JSON object and an exit code.

    Args:
        as_json: the result goes to programs.
        command: the work; it gives an exit code, or None for 0.
        home: which it works on.

    Raises:
        typer.Exit: always, with the exit code.
    """
    output = Output(as_json, home)
    try:
        with ended_in_order():
            raise typer.Exit(command(output) or 0)
    except CountersignError as error:
        output.fail(error)
        raise typer.Exit(exit_code(error)) from error
    except OSError as error:
        if error.filename is None and not is_full(error):
            raise  # of no file: a mistake of ours, or a pipe that nobody reads any more
        output.fail(CountersignError(file_code(error), str(error)))
        raise typer.Exit(EXIT_WORLD) from error
    except MalformedMessageError as error:
        output.fail(CountersignError("message.malformed", str(error)))
        raise typer.Exit(EXIT_CHECK) from error


def file_code(error: OSError) -> str:
    """The code for what the system says of a file."""
    return "disk.full" if is_full(error) else "file.unusable"


def exit_code(error: CountersignError) -> int:
    """The exit code that goes with an error: the same, whether the client or the Auditor turned a request away."""
    if isinstance(error, RejectedError | ContractFailedError | NoReceiptError) or _is_rejection(error.code):
        return EXIT_REFUSED
    return EXIT_CHECK if error.code.startswith(_CHECKS) else EXIT_WORLD


def _is_rejection(code: str) -> bool:
    return code in ERRORS and ERRORS[code].family == "rejection"


def home_of(directory: Path) -> Home:
    """The home a command works on."""
    return Home(directory)
