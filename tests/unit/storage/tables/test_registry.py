"""Adapters are found by the kind of store, also those that other packages bring."""

from pathlib import Path

import pytest

from storage.model.errors import InvalidOperationError
from storage.tables.memory_tables import MemoryTables
from storage.tables.registry import kinds, open_table_store


def test_the_house_has_its_own() -> None:
    """Without any installed metadata."""
    assert {"memory", "redis"} <= set(kinds())
    assert isinstance(open_table_store("memory", {"name": "mine"}), MemoryTables)
    assert open_table_store("memory", {"name": "mine"}).name == "mine"


def test_a_package_brings_an_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an entry point of the group."""
    (tmp_path / "brought.py").write_text("def open_store(settings):\n    return ('brought', dict(settings))\n")
    metadata = tmp_path / "brought-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[countersign.table_stores]\nbrought = brought:open_store\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "brought" in kinds()
    assert open_table_store("brought", {"a": "b"}) == ("brought", {"a": "b"})  # type: ignore[comparison-overlap]


def test_what_there_is_no_adapter_for() -> None:
    """Is named, with what there is; and so is a setting that no adapter knows."""
    with pytest.raises(InvalidOperationError, match="memory") as refused:
        open_table_store("papyrus")
    assert refused.value.code == "store.unknown_kind"
    with pytest.raises(InvalidOperationError, match="colour") as refused:
        open_table_store("memory", {"colour": "red"})
    assert refused.value.code == "config.invalid"
