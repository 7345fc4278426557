"""A new ledger's numbers: refused before anything is written, or in its first configuration as they were asked for."""

from pathlib import Path

import pytest

from deploy.home import Home
from deploy.initialize import NewLedger, initialize
from protocol.configuration import ConfigurationError

REFUSED = {
    "no checksum, and liars": (NewLedger(checksum="none"), "epoch.checksum"),
    "an unknown checksum": (NewLedger(checksum="md5"), "epoch.checksum"),
    "too many liars": (NewLedger(replicas=4, liars=2), "epoch.malformed"),
    "as many liars as pieces suffice": (NewLedger(replicas=5, liars=2, silent=1), "epoch.malformed"),
    "liars below zero": (NewLedger(liars=-1), "epoch.malformed"),
    "more replicas than the code has slices": (NewLedger(replicas=257), "epoch.malformed"),
    "blocks of fewer than no updates": (NewLedger(block_updates=-4), "epoch.malformed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_numbers_that_do_not_fit_are_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    """No key is made for a ledger that could not run."""
    new, code = REFUSED[name]
    home = Home(tmp_path / "home")
    with pytest.raises(ConfigurationError) as caught:
        initialize(home, new)
    assert caught.value.code == code
    assert not home.directory.exists()


@pytest.mark.parametrize(
    ("new", "k", "block_updates"),
    [
        (NewLedger(), 3, 4),
        (NewLedger(checksum="simple"), 3, 4),
        (NewLedger(checksum="none", liars=0), 4, 4),
        (NewLedger(replicas=7, liars=2, silent=1, block_updates=56), 4, 56),
    ],
    ids=["usual", "simple", "none", "larger blocks"],
)
def test_the_first_configuration_is_what_was_asked_for(
    new: NewLedger, k: int, block_updates: int, tmp_path: Path
) -> None:
    """n, b, c, k, checksum and block size stand in what both parties sign."""
    made = initialize(Home(tmp_path / "home"), new).latest
    assert (made.n, made.b, made.c, made.k) == (new.replicas, new.liars, new.silent, k)
    assert (made.checksum, made.block_updates) == (new.checksum, block_updates)
    assert len(made.replica_keys) == new.replicas
