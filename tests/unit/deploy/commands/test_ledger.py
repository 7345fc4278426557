"""What `--store-of` may say."""

import pytest

from deploy.commands.ledger import stores_by_namespace
from protocol.errors import CountersignError
from storage.record_stores import StoreKind


def test_each_namespace_has_its_kind() -> None:
    """Not given at all is something else than nothing: then a ledger keeps what it has."""
    assert stores_by_namespace(["bank=postgresql", "music=sqlite"]) == {
        "bank": StoreKind.POSTGRESQL,
        "music": StoreKind.SQLITE,
    }
    assert stores_by_namespace(None) is None
    assert stores_by_namespace([]) is None


@pytest.mark.parametrize("said", [["bank"], ["bank="], ["=redis"], ["bank=mysql"], ["b k=redis"], ["a=redis"] * 2])
def test_what_makes_no_sense_is_refused(said: list[str]) -> None:
    """Before anything is started."""
    with pytest.raises(CountersignError) as caught:
        stores_by_namespace(said)
    assert caught.value.code == "config.invalid"
