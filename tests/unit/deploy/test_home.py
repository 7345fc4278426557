"""Where a deployment keeps what."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.home import Home


def test_a_home_is_one_place_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to where one is, or to where one lives: a shell leaves the `~` of `--home=~/ledger` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for named in ("ledger", "~/ledger", tmp_path / "ledger"):
        assert Home(Path(named)).directory == tmp_path / "ledger"


def test_nobody_s_home_is_a_name_like_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell has it: what stands behind `~` and is no user stays."""
    monkeypatch.chdir(tmp_path)
    assert Home(Path("~nobody-of-this-name/x")).directory == tmp_path / "~nobody-of-this-name" / "x"


def test_an_empty_variable_names_no_home(tmp_path: Path) -> None:
    """`COUNTERSIGN_HOME= countersign up` makes no ledger where the user happens to stand."""
    program = "from deploy.instructions import DEFAULT_HOME; print(DEFAULT_HOME)"
    environment = {**os.environ, "COUNTERSIGN_HOME": "", "HOME": str(tmp_path)}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(tmp_path / ".countersign")
