"""Loaders and the transaction benchmark on real servers: tables made elsewhere, and each store measured."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from storage.loading.importing import import_foreign, open_foreign
from storage.loading.stores_file import one_store, opened_stores
from storage.model.errors import InvalidOperationError
from storage.model.operations import Key
from storage.model.schema import TableName
from tests.command_line import app
from tests.postgresql import Postgresql

STOCK = TableName("shop", "stock")


def test_a_postgresql_table_from_elsewhere_is_imported(postgresql: Postgresql) -> None:
    """Schema, key, index and every row; then transactions read and change them, and the old table stays as it was."""
    with psycopg.connect(postgresql.url, autocommit=True) as elsewhere:
        elsewhere.execute("CREATE SCHEMA IF NOT EXISTS old")
        elsewhere.execute(
            """CREATE TABLE old.stock (item int, shop text, price numeric(10, 2), since timestamptz, photo bytea,
            PRIMARY KEY (shop, item))"""
        )
        elsewhere.execute("CREATE INDEX ON old.stock (price)")
        elsewhere.execute(
            """INSERT INTO old.stock SELECT n, 'a', n / 4.0, '2026-01-01T00:00:00+02', '\\x00ff'
            FROM generate_series(1, 1200) n"""
        )
        foreign = open_foreign(postgresql.url, "old.stock")
        with opened_stores(one_store(postgresql.url)) as stores:
            assert foreign.count() == 1200
            assert import_foreign(stores, foreign, STOCK, clustering_key=("item",)) == 1200
            foreign.close()
            assert stores.tables.schema(STOCK).partition_key == ("shop",)
            assert "price" in stores.tables.schema(STOCK).indexes
            key = Key(("a",), (7,))
            stores.manager.run(lambda transaction: transaction.update(STOCK, key, {"price": Decimal("9.5")}))
            assert stores.manager.run(lambda transaction: transaction.get(STOCK, key)) == {
                "item": 7,
                "shop": "a",
                "price": Decimal("9.5"),
                "since": datetime(2025, 12, 31, 22, tzinfo=UTC),
                "photo": b"\x00\xff",
            }
        row = elsewhere.execute("SELECT price FROM old.stock WHERE item = 7").fetchone()
        assert row == (Decimal("1.75"),)


def test_what_cannot_be_imported_is_named(postgresql: Postgresql) -> None:
    """No such table, a type that has no equal, no key."""
    with psycopg.connect(postgresql.url, autocommit=True) as elsewhere:
        elsewhere.execute("CREATE TABLE odd (id int PRIMARY KEY, place point)")
        elsewhere.execute("CREATE TABLE keyless (id int)")
    for table, code in (("never", "table.unknown"), ("odd", "schema.not_importable")):
        with pytest.raises(InvalidOperationError) as caught:
            open_foreign(postgresql.url, table)
        assert caught.value.code == code
    keyless = open_foreign(postgresql.url, "keyless")
    with opened_stores(one_store(postgresql.url)) as stores, pytest.raises(InvalidOperationError, match="primary key"):
        import_foreign(stores, keyless, TableName("shop", "keyless"))
    keyless.close()


@pytest.mark.parametrize("store", ["valkey", "postgresql", "postgresql+valkey"])
def test_the_benchmark_starts_and_stops_its_own_servers(store: str, tmp_path: Path) -> None:
    """Manager and twin did transfers, nobody met an error, all the money is there, and no server runs on."""
    arguments = ("--store", store, "--threads", "4", "--seconds", "1", "--warmup-seconds", "0.2", "--accounts", "1000")
    done = CliRunner().invoke(app, ["bench", "transactions", *arguments, "--home", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert (result["errors"], result["is_balanced"]) == ({}, True)
    assert min(result["transactions_per_second"], result["by_hand_per_second"]) > 10
    assert set(result["cpu_us_per_transaction"]) == {"client", *store.split("+")}
    assert result["by_hand_is_atomic"] is (store != "postgresql+valkey")
    assert list((tmp_path / "run").glob("*.pid")) == []
