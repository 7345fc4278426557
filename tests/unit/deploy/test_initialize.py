"""A new ledger is made whole or not at all, with the numbers that were asked for."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.home import Home
from deploy.initialize import AUDITOR, KEY_FILE, NewLedger, accepted_schemas, fitting_limits, initialize
from deploy.keys import make_key
from deploy.local.settings import STACK_FILE, StackSettings
from deploy.local.stack import LocalStack
from deploy.roles.entry import RoleStatus
from protocol.configuration import ConfigurationError
from protocol.errors import CountersignError
from protocol.limits import Limits
from schemas.receipt import Receipt
from storage.record_stores import StoreKind

REFUSED = {
    "no checksum, and liars": (NewLedger(checksum="none"), "epoch.checksum"),
    "an unknown checksum": (NewLedger(checksum="md5"), "epoch.checksum"),
    "too many liars": (NewLedger(replicas=4, liars=2), "epoch.malformed"),
    "as many liars as pieces suffice": (NewLedger(replicas=5, liars=2, silent=1), "epoch.malformed"),
    "liars below zero": (NewLedger(liars=-1), "epoch.malformed"),
    "more replicas than the code has slices": (NewLedger(replicas=257), "epoch.malformed"),
    "blocks of fewer than no updates": (NewLedger(block_updates=-4), "epoch.malformed"),
    "blocks whose pieces are longer than a message": (NewLedger(block_updates=40), "epoch.malformed"),
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


@pytest.mark.parametrize("name", ["a?b", "a\\b", os.fsdecode(b"a\xffb")])
def test_a_place_where_its_learner_could_not_write_is_refused(tmp_path: Path, name: str) -> None:
    """At once, and not when everything else runs already; nothing is made."""
    for home in (Home(tmp_path / name), Home(tmp_path / name / "home")):
        with pytest.raises(CountersignError) as caught:
            initialize(home, NewLedger())
        assert caught.value.code == "path.refused"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("new", "k", "block_updates"),
    [
        (NewLedger(), 3, 4),
        (NewLedger(checksum="simple"), 3, 4),
        (NewLedger(checksum="none", liars=0), 4, 4),
        (NewLedger(replicas=7, liars=2, silent=1, block_updates=28), 4, 28),
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


def test_a_ledger_is_never_made_over_another(tmp_path: Path) -> None:
    """Its keys are what makes it that ledger."""
    home = Home(tmp_path / "home")
    made = initialize(home, NewLedger())
    with pytest.raises(CountersignError) as caught:
        initialize(home, NewLedger())
    assert (caught.value.code, caught.value.detail) == ("config.exists", str(home.directory))
    assert home.load("client").epochs().ledger_id == made.ledger_id


def test_what_cannot_be_made_whole_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a full disk the next try is like the first one; what was there before stays."""
    home = Home(tmp_path / "home")
    (home.directory / "notes").mkdir(parents=True)

    def full(_: StackSettings, __: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(StackSettings, "save", full)
        with pytest.raises(CountersignError) as caught:
            initialize(home, NewLedger(store=StoreKind.SQLITE))
    assert caught.value.code == "disk.full"
    assert {each.name for each in home.directory.iterdir()} == {"notes", "stack"}
    initialize(home, NewLedger())
    assert StackSettings.load(home.stack / STACK_FILE) is None


def test_one_makes_a_ledger_at_a_time(tmp_path: Path) -> None:
    """Else whose try fails would take away what the other one made."""
    home = Home(tmp_path / "home")
    with LocalStack(home.stack).alone(), pytest.raises(CountersignError) as caught:
        initialize(home, NewLedger())
    assert caught.value.code == "stack.running"


def test_a_place_that_cannot_be_written_is_no_matter_of_settings(tmp_path: Path) -> None:
    """A file stands where the directory was to be."""
    (tmp_path / "home").touch()
    with pytest.raises(CountersignError) as caught:
        initialize(Home(tmp_path / "home"), NewLedger())
    assert caught.value.code == "file.unusable"


@pytest.mark.parametrize(
    ("new", "halvings"),
    [
        (NewLedger(), 0),
        (NewLedger(replicas=5, silent=1), 0),
        (NewLedger(replicas=7, liars=3), 1),
        (NewLedger(silent=1), 1),
        (NewLedger(block_updates=8), 1),
        (NewLedger(block_updates=16), 2),
        (NewLedger(replicas=64, liars=21), 0),
    ],
    ids=repr,
)
def test_pieces_of_the_longest_decisions_fit_into_messages(new: NewLedger, halvings: int) -> None:
    """Where a block has many updates for its k, batches are smaller, and nothing else is."""
    limits, usual = fitting_limits(new), Limits()
    assert replace(limits, batch_bytes=usual.batch_bytes, batch_output_bytes=usual.batch_output_bytes) == usual
    assert (limits.batch_bytes << halvings, limits.batch_output_bytes << halvings) == (
        usual.batch_bytes,
        usual.batch_output_bytes,
    )
    block = (new.block_updates or new.replicas) * limits.decision_bytes
    assert block / new.enough < limits.message_bytes


def test_what_was_begun_and_not_finished_is_said_to_be_that(tmp_path: Path) -> None:
    """A run that was killed could take nothing away; no key is ever written over."""
    home = Home(tmp_path / "home")
    make_key(home.role(AUDITOR) / KEY_FILE)
    with pytest.raises(CountersignError, match="not finished: remove") as caught:
        initialize(home, NewLedger())
    assert caught.value.code == "file.exists"


def test_a_ledger_that_lost_its_genesis_is_not_called_unfinished(tmp_path: Path) -> None:
    """It has run, and its keys are all it has: nobody is told to remove it, or that there is none."""
    home = Home(tmp_path / "home")
    initialize(home, NewLedger())
    RoleStatus(home.role("ledger")).write("stopped")
    (home.public / "genesis.avro").unlink()
    for call in (lambda: initialize(home, NewLedger()), lambda: home.load("client")):
        with pytest.raises(CountersignError, match="bring public/ back") as caught:
            call()
        assert caught.value.code == "config.invalid"
        assert "remove" not in caught.value.detail
    assert (home.role("auditor") / "key.pem").exists()


def test_what_is_private_is_its_owner_s_alone(tmp_path: Path) -> None:
    """Keys, what the clients and roles have, and the place of stores, logs and passwords; `public` is for all."""
    home = Home(tmp_path / "home")
    initialize(home, NewLedger())
    for directory in home.directory.iterdir():
        assert (directory.stat().st_mode & 0o077 == 0) is (directory != home.public), directory


def test_the_schemas_are_said_in_one_order() -> None:
    """Whatever order a set gives in this process: both parties sign the same bytes."""
    schemas = accepted_schemas()
    assert list(schemas) == sorted(set(schemas))
    assert Receipt.avro.schema_hash in schemas
