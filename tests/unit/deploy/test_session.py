"""A command's client: what is missing is said at once, before anything is waited for."""

from pathlib import Path

import pytest

from deploy.home import Home
from deploy.initialize import ADMINISTRATOR, NewLedger, initialize
from deploy.session import open_client
from protocol.errors import CountersignError


@pytest.mark.parametrize(("entity", "code"), [("nobody", "entity.no_key"), (ADMINISTRATOR, "stack.down")])
def test_a_key_and_a_ledger_that_runs_are_needed(tmp_path: Path, entity: str, code: str) -> None:
    """In that order: who has no key need not start anything."""
    home = Home(tmp_path / "home")
    initialize(home, NewLedger())
    with pytest.raises(CountersignError) as caught:
        open_client(home, entity)
    assert caught.value.code == code


def test_without_a_ledger_there_is_no_client(tmp_path: Path) -> None:
    """And no directory is made by looking for one."""
    with pytest.raises(CountersignError) as caught:
        open_client(Home(tmp_path / "home"), ADMINISTRATOR)
    assert caught.value.code == "config.missing"
    assert list(tmp_path.iterdir()) == []
