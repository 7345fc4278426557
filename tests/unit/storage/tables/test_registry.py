"""Adapters are found by the kind of store, also those that other packages bring."""

import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from storage.loading.stores_file import opened_stores, read_stores_file
from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError
from storage.model.operations import Key
from storage.model.schema import TableName, TableSchema
from storage.tables import registry
from storage.tables.memory_tables import MemoryTables
from storage.tables.registry import BUILT_IN, ENTRY_POINTS, kinds, open_table_store

ROOT = Path(__file__).resolve().parents[4]


def test_the_house_has_its_own() -> None:
    """Without any installed metadata."""
    assert {"memory", "redis"} <= set(kinds())
    assert isinstance(open_table_store("memory", {"name": "mine"}), MemoryTables)
    assert open_table_store("memory", {"name": "mine"}).name == "mine"


def test_the_house_registers_its_own_as_others_do() -> None:
    """The entry points of the distribution are those of the table, and each is loaded to the same function."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"][ENTRY_POINTS] == BUILT_IN
    for kind, target in BUILT_IN.items():
        assert EntryPoint(kind, target, ENTRY_POINTS).load() is registry._adapter(kind)


def install(place: Path, module: str, monkeypatch: pytest.MonkeyPatch, kind: str = "papyrus") -> None:
    """A package of others, with one adapter, as an installer would leave it."""
    (place / "papyrus_store.py").write_text(module)
    metadata = place / "papyrus-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: papyrus\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n{kind} = papyrus_store:open_store\n")
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "papyrus_store", raising=False)


PAPYRUS = """
from storage.tables.memory_tables import MemoryTables

def open_store(settings):
    assert dict(settings) == {"scroll": "7"}
    return MemoryTables()
"""


def test_a_package_brings_an_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an entry point of the group; a file of stores can name it, and transactions run over it."""
    install(tmp_path, PAPYRUS, monkeypatch)
    assert "papyrus" in kinds()
    content = b'[stores.old]\nkind = "papyrus"\nscroll = "7"\n'
    with opened_stores(read_stores_file(content)) as stores:
        stores.manager.create_coordinator()
        schema = TableSchema(name=TableName("a", "b"), columns={"id": DataType.INT}, partition_key=("id",))
        stores.manager.create_table(schema)
        stores.manager.run(lambda transaction: transaction.insert("a.b", Key((1,)), {}))
        assert stores.manager.run(lambda transaction: transaction.get("a.b", Key((1,)))) == {"id": 1}


def test_an_adapter_that_cannot_be_loaded_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its module, and what that raised."""
    install(tmp_path, "import papyrus_that_is_not_there", monkeypatch)
    with pytest.raises(InvalidOperationError, match=r"papyrus_store:open_store.*papyrus_that_is_not_there") as refused:
        open_table_store("papyrus")
    assert refused.value.code == "store.unknown_kind"


def test_nobody_takes_the_name_of_one_of_the_house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is installed must not come between the house and its stores."""
    install(tmp_path, "def open_store(settings):\n    return None\n", monkeypatch, kind="memory")
    assert isinstance(open_table_store("memory"), MemoryTables)


def test_what_there_is_no_adapter_for() -> None:
    """Is named, with what there is; and so is a setting that no adapter knows."""
    with pytest.raises(InvalidOperationError, match="memory") as refused:
        open_table_store("papyrus")
    assert refused.value.code == "store.unknown_kind"
    with pytest.raises(InvalidOperationError, match="colour") as refused:
        open_table_store("memory", {"colour": "red"})
    assert refused.value.code == "config.invalid"
