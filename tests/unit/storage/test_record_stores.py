"""A party's store is found by its address, and an address that makes no sense is told before anything is opened."""

from pathlib import Path

import pytest

from protocol.errors import CountersignError
from storage.errors import StoreUnavailableError
from storage.record_stores import StoreKind, kind_of, open_record_store
from storage.spread_store import SpreadStore
from storage.sqlite_store import SqliteStore

NOBODY = "127.0.0.1:1"
"""Where nothing listens."""


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://localhost:6379/0", StoreKind.REDIS),
        ("rediss://:secret@example.org:6379", StoreKind.REDIS),
        ("unix:///run/valkey.sock", StoreKind.REDIS),
        ("sqlite:///var/lib/store.db", StoreKind.SQLITE),
        ("postgresql://user:secret@localhost/bank", StoreKind.POSTGRESQL),
        ("postgres://user:secret@localhost/bank", StoreKind.POSTGRESQL),
        ("POSTGRESQL://user@localhost/bank", StoreKind.POSTGRESQL),
    ],
)
def test_a_scheme_says_what_a_store_is_made_of(url: str, kind: StoreKind) -> None:
    """Every scheme that the adapters take; as in any URL, its case says nothing."""
    assert kind_of(url) is kind


@pytest.mark.parametrize("url", ["", "somewhere", "/var/lib/store.db", "mysql://root:secret@localhost", "memory://"])
def test_another_kind_is_refused(url: str) -> None:
    """It says which there are, and no password."""
    with pytest.raises(CountersignError) as caught:
        open_record_store(url)
    assert caught.value.code == "config.invalid"
    assert "sqlite://" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("namespaces", [None, {}])
def test_without_other_databases_it_is_the_one_store(tmp_path: Path, namespaces: dict[str, str] | None) -> None:
    """And not a spread one, which costs more."""
    store = open_record_store(f"sqlite://{tmp_path}/store.db", namespaces)
    assert isinstance(store, SqliteStore)
    store.close()


def test_with_other_databases_it_is_spread(tmp_path: Path) -> None:
    """One is enough."""
    store = open_record_store(f"sqlite://{tmp_path}/home.db", {"bank": f"sqlite://{tmp_path}/bank.db"})
    assert isinstance(store, SpreadStore)
    store.close()


def test_a_wrong_home_is_refused_before_the_others_are_opened(tmp_path: Path) -> None:
    """No file is made for a store that cannot be."""
    with pytest.raises(CountersignError) as caught:
        open_record_store("mysql://localhost", {"bank": f"sqlite://{tmp_path}/bank.db"})
    assert caught.value.code == "config.invalid"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("away", [f"redis://{NOBODY}", f"postgresql://user:secret@{NOBODY}/bank"])
def test_a_database_that_is_away_is_waited_for(tmp_path: Path, away: str) -> None:
    """Home or not: it is the error after which a party tries again, and says no password."""
    here = f"sqlite://{tmp_path}/store.db"
    for url, namespaces in ((away, {}), (away, {"bank": here}), (here, {"bank": away})):
        with pytest.raises(StoreUnavailableError) as caught:
            open_record_store(url, namespaces)
        assert "secret" not in str(caught.value)
