"""`data`: rows from CSV and JSON lines into a table of any store, and out of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.markup import escape
from rich.progress import Progress

from deploy.commands.schema import ConfigFile, StoreUrl, stores_of
from deploy.output import EXIT_CHECK, JsonOption, Output, run
from protocol.errors import CountersignError
from storage.loading.data_file import DataFormat, FileRow, header_of, read_rows, row_writer
from storage.loading.data_loader import BATCH_ROWS, DataLoader
from storage.loading.schema_file import table_name

app = typer.Typer(
    no_args_is_help=True,
    help="""Rows in and out, as CSV or JSON lines.

    Example: [bold]countersign data import accounts.csv --table bank.accounts --store sqlite:////tmp/bank.db[/bold]
    """,
    rich_markup_mode="rich",
)

DataFile = Annotated[Path, typer.Argument(help="The file.", show_default=False)]
Table = Annotated[str, typer.Option("--table", metavar="NAMESPACE.TABLE", help="The table.", show_default=False)]
Format = Annotated[DataFormat | None, typer.Option("--format", help="By the file's name if it is not said.")]


@app.command("import")
def import_(
    file: DataFile,
    table: Table,
    store: StoreUrl = "",
    config: ConfigFile = None,
    data_format: Format = None,
    upsert: Annotated[bool, typer.Option("--upsert", help="Change rows that are there, instead of refusing.")] = False,
    rejects: Annotated[
        Path | None, typer.Option("--rejects", help="Where refused rows go; without it the first one stops the import.")
    ] = None,
    batch_rows: Annotated[int, typer.Option(min=1, max=5000, help="Rows that are written together.")] = BATCH_ROWS,
    as_json: JsonOption = False,
) -> None:
    """Write the rows of a file into a table. Exit code 5 where rows were refused.

    Example: [bold]countersign data import accounts.csv --table bank.accounts --store URL --rejects bad.csv[/bold]
    """

    def work(output: Output) -> int:
        chosen = data_format or DataFormat.of_file(file.name)
        with stores_of(store, config) as stores, output.progress() as bars, opened(file, "r") as source:
            loader = DataLoader(stores, table_name(table), upsert=upsert)
            with _refusing(rejects, chosen, file) as refuse:
                rows = _counted(read_rows(source, chosen, loader.schema), file.stat().st_size, bars)
                loaded = loader.load(rows, refuse, batch_rows=batch_rows)
        for line, code, detail in loaded.errors:
            output.say(f"line {line}: {code} ({escape(detail)})")
        output.say(f"{loaded.rows:,} rows written, {loaded.refused:,} refused")
        errors = [{"line": line, "error": code, "detail": detail} for line, code, detail in loaded.errors]
        output.result({"table": table, "rows": loaded.rows, "refused": loaded.refused, "errors": errors})
        return EXIT_CHECK if loaded.refused else 0

    run(as_json, work)


@app.command()
def export(
    file: DataFile,
    table: Table,
    store: StoreUrl = "",
    config: ConfigFile = None,
    data_format: Format = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a file that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write all rows of a table to a file, each as it was committed when it was read.

    Example: [bold]countersign data export accounts.jsonl --table bank.accounts --store sqlite:////tmp/bank.db[/bold]
    """

    def work(output: Output) -> None:
        chosen = data_format or DataFormat.of_file(file.name)
        with stores_of(store, config) as stores, output.progress() as bars:
            loader = DataLoader(stores, table_name(table))
            task = bars.add_task("rows", total=None)
            with opened(file, "w" if replace else "x") as target:
                write = row_writer(target, chosen, tuple(loader.schema.columns))
                count = loader.write_out(write, lambda more: bars.advance(task, more))
        output.say(f"{count:,} rows written to {escape(str(file))}")
        output.result({"table": table, "rows": count, "file": str(file)})

    run(as_json, work)


@contextmanager
def opened(file: Path, mode: str) -> Iterator[IO[str]]:
    """A text file in UTF-8; the mark that spreadsheets put before it is not a part of it.

    Raises:
        CountersignError: `data.file_unusable`, also where it is no UTF-8; `data.file_exists`, where it was to be new.
    """
    try:
        with file.open(mode, encoding="utf-8-sig" if mode == "r" else "utf-8", newline="") as text:
            yield text
    except FileExistsError as error:
        raise CountersignError("data.file_exists", str(file)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise CountersignError("data.file_unusable", str(error)) from error


@contextmanager
def _refusing(rejects: Path | None, data_format: DataFormat, source: Path) -> Iterator[Callable[[FileRow], None]]:
    """What is done with refused rows: they go into a file, or the first one stops the import.

    Raises:
        CountersignError: `data.file_unusable`, also where that is the file they come from, which it would empty.
    """
    if rejects is None:
        yield _stop
        return
    if rejects.exists() and rejects.samefile(source):
        raise CountersignError("data.file_unusable", f"{rejects} is what is imported: rejects want a file of their own")
    with opened(rejects, "w") as file:
        is_headed = [data_format is not DataFormat.CSV]

        def keep(row: FileRow) -> None:
            if not is_headed[0]:
                file.write(header_of(row.columns))
                is_headed[0] = True
            file.write(row.text if row.text.endswith("\n") else f"{row.text}\n")

        yield keep


def _stop(row: FileRow) -> None:
    code = "data.line_invalid" if row.values is None else "data.row_refused"
    raise CountersignError(code, f"line {row.line}: {row.error}") from row.error


def _counted(rows: Iterator[FileRow], size_bytes: int, bars: Progress) -> Iterator[FileRow]:
    """The same rows; a bar tells how much of the file they were, in characters."""
    task = bars.add_task("characters", total=size_bytes)
    for row in rows:
        bars.advance(task, len(row.text))
        yield row
    bars.update(task, completed=size_bytes)
