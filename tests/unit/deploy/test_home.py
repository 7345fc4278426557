"""Where a deployment keeps what."""

from pathlib import Path

import pytest

from deploy.home import Home


def test_a_home_is_one_place_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to where one is, or to where one lives: a shell leaves the `~` of `--home=~/ledger` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for named in ("ledger", "~/ledger", tmp_path / "ledger"):
        assert Home(Path(named)).directory == tmp_path / "ledger"
