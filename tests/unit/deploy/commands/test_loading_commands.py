"""`schema` and `data` on the command line, over an SQLite file: results, exit codes, and what is said of errors."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.command_line import app

SCHEMA = """
[tables."bank.accounts"]
columns = { id = "int", owner = "text", balance = "bigint" }
partition_key = ["id"]
"""

Command = Callable[..., Any]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs a command with --json on a store of its own; gives the object on its last line."""

    def run(*arguments: str, code: int = 0) -> Any:
        store = ("--store", f"sqlite://{tmp_path}/bank.db")
        done = CliRunner().invoke(app, [*arguments, *store, "--json"])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout.splitlines()[-1])

    (tmp_path / "bank.toml").write_text(SCHEMA)
    return run


def test_tables_come_change_and_go(command: Command, tmp_path: Path) -> None:
    """Create, create again, alter, show, repair, drop."""
    file = tmp_path / "bank.toml"
    assert command("schema", "create", str(file))["tables"][0]["change"] == "created"
    assert command("schema", "create", str(file), code=4)["error"] == "table.exists"
    assert command("schema", "create", str(file), "--if-absent")["tables"][0]["change"] == "as it was"
    file.write_text(SCHEMA.replace("owner", "holder") + 'renames = { owner = "holder" }\n')
    assert command("schema", "alter", str(file))["tables"] == [
        {"table": "bank.accounts", "change": "altered", "alterations": 1}
    ]
    assert list(command("schema", "show")["tables"]["bank.accounts"]["columns"]) == ["id", "holder", "balance"]
    file.write_text(SCHEMA.replace(', balance = "bigint"', "").replace("owner", "holder"))
    assert command("schema", "alter", str(file), code=4)["error"] == "schema.would_drop"
    assert command("schema", "alter", str(file), "--drop-columns")["tables"][0]["change"] == "altered"
    assert set(command("schema", "show")["tables"]["bank.accounts"]["columns"]) == {"id", "holder"}
    assert command("schema", "repair", str(file))["tables"][0]["change"] == "as it was"
    assert command("schema", "drop", str(file))["tables"][0]["change"] == "dropped"
    assert command("schema", "show")["tables"] == {}


@pytest.mark.parametrize("name", ["accounts.csv", "accounts.jsonl"])
def test_rows_go_out_and_come_in_again(command: Command, tmp_path: Path, name: str) -> None:
    """What was exported is refused where it is, taken as upserts, and is all there in another table."""
    command("schema", "create", str(tmp_path / "bank.toml"))
    source = tmp_path / "first.csv"
    source.write_text("id,owner,balance\n" + "".join(f"{number},o{number},{number}\n" for number in range(1200)))
    table = ("--table", "bank.accounts")
    assert command("data", "import", str(source), *table)["rows"] == 1200
    file = str(tmp_path / name)
    assert command("data", "export", file, *table)["rows"] == 1200
    there = command("data", "export", file, *table, code=4)
    assert (there["error"], "--replace" in there["remedy"]) == ("data.file_exists", True)
    assert command("data", "import", file, *table, code=4)["error"] == "data.row_refused"
    assert command("data", "import", file, *table, "--upsert")["rows"] == 1200
    command("schema", "drop", str(tmp_path / "bank.toml"))
    command("schema", "create", str(tmp_path / "bank.toml"))
    assert command("data", "import", file, *table)["rows"] == 1200


def test_rejects_can_be_corrected_and_imported(command: Command, tmp_path: Path) -> None:
    """The file of rejects is a data file like the first, with the rows that were refused."""
    command("schema", "create", str(tmp_path / "bank.toml"))
    source, rejects = tmp_path / "rows.csv", tmp_path / "rejects.csv"
    source.write_text("id,balance\n1,1\n2,x\n3,3\n1,4\n")
    answer = command("data", "import", str(source), "--table", "bank.accounts", "--rejects", str(rejects), code=5)
    assert (answer["rows"], answer["refused"]) == (2, 2)
    assert [(error["line"], error["error"]) for error in answer["errors"]] == [
        (3, "value.wrong_type"),
        (5, "transaction.exists"),
    ]
    assert rejects.read_text().splitlines() == ["id,balance", "2,x", "1,4"]
    rejects.write_text(rejects.read_text().replace("x", "2").replace("1,4", "4,4"))
    assert command("data", "import", str(rejects), "--table", "bank.accounts")["rows"] == 2


@pytest.mark.parametrize("what", ["create", "alter", "repair", "drop"])
def test_the_coordinators_table_is_nobodys_to_change(command: Command, tmp_path: Path, what: str) -> None:
    """Its rows say what was committed: it is refused with a code, and transactions go on."""
    command("schema", "create", str(tmp_path / "bank.toml"))
    file, rows = tmp_path / "own.toml", tmp_path / "rows.csv"
    file.write_text(SCHEMA + SCHEMA.replace("bank.accounts", "coordinator.transactions"))
    options = ["--drop-columns"] if what == "alter" else []
    assert command("schema", what, str(file), *options, code=4)["error"] == "transaction.own_table"
    assert command("schema", "import", "coordinator.transactions", code=4)["error"] == "transaction.own_table"
    rows.write_text("bucket,transaction_id,state\n1,x,3\n")
    refused = command("data", "import", str(rows), "--table", "coordinator.transactions", code=4)
    assert refused["error"] == "transaction.own_table"
    rows.write_text("id,owner\n1,ann\n")
    assert command("data", "import", str(rows), "--table", "bank.accounts")["rows"] == 1


def test_a_file_of_a_spreadsheet_is_read(command: Command, tmp_path: Path) -> None:
    """The mark of the byte order before its header is no part of a column's name."""
    command("schema", "create", str(tmp_path / "bank.toml"))
    source = tmp_path / "rows.csv"
    source.write_bytes(b"\xef\xbb\xbfid,owner\n1,ann\n")
    assert command("data", "import", str(source), "--table", "bank.accounts")["rows"] == 1


def test_what_is_imported_is_not_emptied_by_its_own_rejects(command: Command, tmp_path: Path) -> None:
    """The same file, by another name too, is refused before it is opened for writing."""
    command("schema", "create", str(tmp_path / "bank.toml"))
    source, link = tmp_path / "rows.csv", tmp_path / "link.csv"
    source.write_text("id,owner\n1,ann\n")
    link.symlink_to(source)
    for rejects in (source, link):
        arguments = ("data", "import", str(source), "--table", "bank.accounts", "--rejects", str(rejects))
        assert command(*arguments, code=4)["error"] == "data.file_unusable"
    assert source.read_text() == "id,owner\n1,ann\n"


def test_a_table_from_elsewhere_is_imported(command: Command, tmp_path: Path) -> None:
    """Its rows count as committed: transactions read and change them. The old table stays."""
    with sqlite3.connect(tmp_path / "old.db") as old:
        old.execute(
            "CREATE TABLE stock (shop TEXT, item INTEGER, price NUMERIC, fresh BOOLEAN, PRIMARY KEY (shop, item))"
        )
        old.execute("CREATE INDEX by_price ON stock (price)")
        old.executemany("INSERT INTO stock VALUES (?, ?, ?, ?)", [("a", n, n / 4, n % 2) for n in range(1200)])
    old.close()
    source = ("--source", f"sqlite://{tmp_path}/old.db", "--as", "shop.stock", "--clustering-key", "item")
    assert command("schema", "import", "stock", *source)["rows"] == 1200
    shown = command("schema", "show")["tables"]["shop.stock"]
    assert (shown["clustering_key"], shown["indexes"], shown["transactional"]) == (["item asc"], ["price"], True)
    changed = tmp_path / "changed.jsonl"
    changed.write_text('{"shop":"a","item":7,"fresh":null}\n')
    command("data", "import", str(changed), "--table", "shop.stock", "--upsert")
    command("data", "export", str(tmp_path / "out.jsonl"), "--table", "shop.stock")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(rows) == 1200
    assert rows[7] == {"shop": "a", "item": 7, "price": "1.75", "fresh": None}
    assert rows[8] == {"shop": "a", "item": 8, "price": "2", "fresh": False}


def test_a_copy_that_fails_leaves_no_table(command: Command, tmp_path: Path) -> None:
    """A value that its column cannot hold; and tables that cannot be imported at all."""
    with sqlite3.connect(tmp_path / "old.db") as old:
        old.execute("CREATE TABLE bad (id INTEGER PRIMARY KEY, flag BOOLEAN)")
        old.executemany("INSERT INTO bad VALUES (?, ?)", [(n, 1 if n < 800 else "maybe") for n in range(900)])
        old.execute("CREATE TABLE keyless (id INTEGER)")
        old.execute("CREATE TABLE odd (id INTEGER PRIMARY KEY, place POINT)")
    old.close()
    source = ("--source", f"sqlite://{tmp_path}/old.db", "--as", "shop.bad")
    for table, code in (
        ("bad", "value.wrong_type"),
        ("keyless", "schema.not_importable"),
        ("odd", "schema.not_importable"),
        ("never", "table.unknown"),
    ):
        assert command("schema", "import", table, *source, code=4)["error"] == code
    assert command("schema", "show")["tables"] == {}


def test_a_configuration_file_maps_namespaces_to_stores(tmp_path: Path) -> None:
    """Each namespace's table is in its own file, and one command works on both."""
    config = tmp_path / "stores.toml"
    config.write_text(
        'home = "one"\ndefault_store = "one"\n[namespaces]\nshop = "two"\n'
        + "".join(f'[stores.{name}]\nkind = "sqlite"\nfile = "{tmp_path}/{name}.db"\n' for name in ("one", "two"))
    )
    schema = tmp_path / "both.toml"
    schema.write_text(SCHEMA + SCHEMA.replace("bank.", "shop."))
    runner = CliRunner()
    done = runner.invoke(app, ["schema", "create", str(schema), "--config", str(config)])
    assert done.exit_code == 0, done.output
    for name, table in (("one", "bank.accounts"), ("two", "shop.accounts")):
        shown = runner.invoke(app, ["schema", "show", "--store", f"sqlite://{tmp_path}/{name}.db", "--json"])
        assert list(json.loads(shown.stdout.splitlines()[-1])["tables"]) == [table]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("show",), "config.invalid"),
        (("show", "--store", "mysql://x"), "config.invalid"),
        (("show", "--store", "sqlite://relative"), "config.invalid"),
        (("show", "--config", "/nowhere/at/all"), "data.file_unusable"),
        (("show", "--store", "redis://127.0.0.1:1"), "store.unreachable"),
    ],
)
def test_a_store_that_cannot_be_opened_has_a_code(arguments: tuple[str, ...], error: str) -> None:
    """Before anything is done."""
    done = CliRunner().invoke(app, ["schema", *arguments, "--json"])
    assert (done.exit_code, json.loads(done.stdout.splitlines()[-1])["error"]) == (4, error)


def test_an_sqlite_store_in_a_file_may_be_given_by_its_url(tmp_path: Path) -> None:
    """As every other kind; not by file and URL at once."""
    config = tmp_path / "stores.toml"
    by_url = f'[stores.bank]\nkind = "sqlite"\nurl = "sqlite://{tmp_path}/bank.db"\n'
    config.write_text(by_url)
    (tmp_path / "bank.toml").write_text(SCHEMA)
    create = ["schema", "create", str(tmp_path / "bank.toml"), "--config", str(config), "--json"]
    arguments = ["schema", "show", "--config", str(config), "--json"]
    assert CliRunner().invoke(app, create).exit_code == 0
    assert (tmp_path / "bank.db").exists()
    config.write_text(by_url + 'file = "x"\n')
    said = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert (said["error"], said["detail"]) == ("config.invalid", "unknown settings: file; known are url")


def test_an_sqlite_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """Its directory is not there; no server is spoken of alone."""
    arguments = ["schema", "show", "--store", f"sqlite://{tmp_path}/none/bank.db", "--json"]
    said = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert said["error"] == "store.unreachable"
    assert f"{tmp_path}/none/bank.db" in said["detail"]
    assert "directory" in said["remedy"]


@pytest.mark.parametrize("content", [None, "no = [schema"])
@pytest.mark.parametrize("name", ["create", "alter", "repair", "drop"])
def test_a_schema_file_that_cannot_be_read_has_a_code(
    command: Command, tmp_path: Path, name: str, content: str | None
) -> None:
    """It is not there, or no schema; no command ends in a traceback."""
    file = tmp_path / "other.toml"
    if content is not None:
        file.write_text(content)
    error = "data.file_unusable" if content is None else "schema.file_invalid"
    assert command("schema", name, str(file), code=4)["error"] == error
