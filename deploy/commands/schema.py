"""`schema`: the tables of any store, made as a schema file has them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from deploy.output import JsonOption, Output, run
from protocol.errors import CountersignError
from storage.loading.importing import import_foreign, open_foreign
from storage.loading.schema_file import file_form, read_schema_file, table_name
from storage.loading.schema_loader import SchemaLoader, TableChange
from storage.loading.stores_file import OpenedStores, one_store, opened_stores, read_stores_file
from storage.model.errors import InvalidOperationError

app = typer.Typer(
    no_args_is_help=True,
    help="""Tables of any store: create, alter, drop, repair, import, show.

    Example: [bold]countersign schema create bank.toml --store sqlite:////tmp/bank.db[/bold]
    """,
    rich_markup_mode="rich",
)

StoreUrl = Annotated[
    str,
    typer.Option(
        "--store", metavar="URL", envvar="COUNTERSIGN_STORE", help="postgresql://, redis:// or sqlite:///file."
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="A file that says which stores there are, instead of --store.")
]
SchemaFile = Annotated[Path, typer.Argument(help="The schema, in TOML or JSON.", show_default=False)]


@contextmanager
def stores_of(store: str, config: Path | None) -> Iterator[OpenedStores]:
    """The stores that a command works on, open.

    Raises:
        CountersignError: there are none, or one cannot be opened.
    """
    if config is None and not store:
        raise InvalidOperationError("config.invalid", "say --store URL or --config FILE")
    configuration = one_store(store) if config is None else read_stores_file(read_file(config))
    with opened_stores(configuration) as opened:
        yield opened


def read_file(file: Path) -> bytes:
    """What is in a file.

    Raises:
        CountersignError: `data.file_unusable`.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise CountersignError("data.file_unusable", str(error)) from error


@app.command()
def create(
    file: SchemaFile,
    store: StoreUrl = "",
    config: ConfigFile = None,
    if_absent: Annotated[bool, typer.Option("--if-absent", help="Leave tables alone that are there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Create the tables of a schema file.

    Example: [bold]countersign schema create bank.toml --store sqlite:////tmp/bank.db[/bold]
    """
    _load(store, config, as_json, lambda loader: loader.create(read_schema_file(read_file(file)), if_absent=if_absent))


@app.command()
def alter(
    file: SchemaFile,
    store: StoreUrl = "",
    config: ConfigFile = None,
    drop_columns: Annotated[bool, typer.Option("--drop-columns", help="Columns may go, with their values.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make tables as the schema file has them: columns and indexes are added, renamed and dropped.

    Example: [bold]countersign schema alter bank.toml --store sqlite:////tmp/bank.db[/bold]
    """
    _load(store, config, as_json, lambda loader: loader.alter(read_schema_file(read_file(file)), drops=drop_columns))


@app.command()
def repair(file: SchemaFile, store: StoreUrl = "", config: ConfigFile = None, as_json: JsonOption = False) -> None:
    """Add whatever is missing of the tables in a schema file, and of the coordinator's; nothing goes.

    Example: [bold]countersign schema repair bank.toml --store sqlite:////tmp/bank.db[/bold]
    """
    _load(store, config, as_json, lambda loader: loader.repair(read_schema_file(read_file(file))))


@app.command()
def drop(file: SchemaFile, store: StoreUrl = "", config: ConfigFile = None, as_json: JsonOption = False) -> None:
    """Drop the tables of a schema file, with all their rows.

    Example: [bold]countersign schema drop bank.toml --store sqlite:////tmp/bank.db[/bold]
    """
    _load(
        store,
        config,
        as_json,
        lambda loader: loader.drop(table.schema.name for table in read_schema_file(read_file(file))),
    )


@app.command("import")
def import_(
    table: Annotated[str, typer.Argument(help="The table's name where it is; or, without --source, namespace.table.")],
    store: StoreUrl = "",
    config: ConfigFile = None,
    source: Annotated[
        str, typer.Option("--source", metavar="URL", help="Where it was made: postgresql:// or sqlite:///file.")
    ] = "",
    name: Annotated[str, typer.Option("--as", metavar="NAMESPACE.TABLE", help="What it is to be called here.")] = "",
    clustering_key: Annotated[
        str, typer.Option(help="Columns of its key that order rows in a partition, with commas between.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Make an existing table transactional: one of the store's own, or a copy of one that was made elsewhere.

    Its rows count as committed. A table from elsewhere stays as it is.

    Example: [bold]countersign schema import orders --source sqlite:////tmp/old.db --as shop.orders --store URL[/bold]
    """

    def work(output: Output) -> None:
        with stores_of(store, config) as stores:
            if not source:
                _tell(output, [SchemaLoader(stores).make_transactional(table_name(table))])
                return
            foreign = open_foreign(source, table)
            try:
                with output.progress() as bars:
                    task = bars.add_task("copying rows", total=foreign.count())
                    rows = import_foreign(
                        stores,
                        foreign,
                        table_name(name or table),
                        clustering_key=tuple(filter(None, clustering_key.split(","))),
                        progress=lambda count: bars.advance(task, count),
                    )
            finally:
                foreign.close()
        output.say(f"{rows:,} rows")
        output.result({"table": name or table, "change": "imported", "rows": rows})

    run(as_json, work)


@app.command()
def show(store: StoreUrl = "", config: ConfigFile = None, as_json: JsonOption = False) -> None:
    """Show every table there is, as a schema file would have it.

    Example: [bold]countersign schema show --store sqlite:////tmp/bank.db --json[/bold]
    """

    def work(output: Output) -> None:
        with stores_of(store, config) as stores:
            tables = SchemaLoader(stores).show()
        for table in tables:
            schema = table.schema
            keys = dict.fromkeys(schema.partition_key, "partition key")
            keys |= {name: f"clustering key, {order}" for name, order in schema.clustering_key}
            keys |= dict.fromkeys(schema.indexes, "index")
            rows = [(name, kind.value, keys.get(name, "")) for name, kind in schema.columns.items()]
            title = f"{schema.name}{'' if table.transactional else ', without transactions'}"
            output.table(title, ("column", "type", ""), rows)
        output.result({"tables": {str(table.schema.name): file_form(table) for table in tables}})

    run(as_json, work)


def _load(store: str, config: Path | None, as_json: bool, step: Callable[[SchemaLoader], list[TableChange]]) -> None:
    def work(output: Output) -> None:
        with stores_of(store, config) as stores:
            _tell(output, step(SchemaLoader(stores)))

    run(as_json, work)


def _tell(output: Output, changes: list[TableChange]) -> None:
    for change in changes:
        output.say(escape(f"{change.table}: {change.what}"))
    output.result(
        {
            "tables": [
                {"table": str(change.table), "change": change.what, "alterations": change.alterations}
                for change in changes
            ]
        }
    )
