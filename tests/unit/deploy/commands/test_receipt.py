"""`receipt verify`, `evidence verify`: a slip on the command line is no setting, and what the home knows counts."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from protocol.configuration import Epochs
from protocol.evidence import build
from protocol.receipts import build_receipt
from schemas.receipt import Receipts
from streams.role_directory import RoleConfiguration
from tests.command_line import app
from tests.gallery.hanging import result_of
from tests.worlds import World


@pytest.mark.parametrize("command", ["receipt", "evidence"])
@pytest.mark.parametrize("file", [".", "none"])
def test_a_file_that_cannot_be_read_has_its_own_code(tmp_path: Path, command: str, file: str) -> None:
    """A directory, or nothing at all; the file is named."""
    arguments = [command, "verify", str(tmp_path / file), "--ledger-id", "00" * 32, "--json"]
    done = CliRunner().invoke(app, arguments)
    said = json.loads(done.stdout)
    assert (done.exit_code, said["error"]) == (4, "file.unusable")
    assert str(tmp_path / file) in said["detail"]


def test_a_ledger_id_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    """It is an option's value."""
    (tmp_path / "a.receipt").write_bytes(b"x")
    done = CliRunner().invoke(app, ["receipt", "verify", str(tmp_path / "a.receipt"), "--ledger-id", "xyz"])
    assert done.exit_code == 2


@pytest.mark.parametrize("ledger_id", ["00", "zz" * 32, "00" * 33])
def test_a_ledger_id_has_its_length(tmp_path: Path, ledger_id: str) -> None:
    """Another one is a slip, and no file's fault."""
    (tmp_path / "a.receipt").write_bytes(b"x")
    done = CliRunner().invoke(app, ["receipt", "verify", str(tmp_path / "a.receipt"), "--ledger-id", ledger_id])
    assert done.exit_code == 2


def _home(place: Path, epochs: Epochs) -> Path:
    """A home that has the configurations of an operator."""
    (place / "public").mkdir(parents=True)
    (place / "public" / "genesis.avro").write_bytes(epochs.genesis_bytes)
    for number, signed in enumerate(epochs.signed):
        (place / "public" / f"configuration-{number}.avro").write_bytes(signed)
    RoleConfiguration(directory=place / "client", ledger_id=epochs.ledger_id.hex(), public="../public").save()
    return place


def _verify(command: str, file: Path, home: Path, *more: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, [command, "verify", str(file), "--home", str(home), "--json", *more])
    said: dict[str, Any] = json.loads(done.stdout)
    return {**said, "exit_code": done.exit_code}


def test_what_was_signed_above_the_end_of_an_epoch_is_no_receipt(tmp_path: Path) -> None:
    """The file stops before the next epoch, and the home knows where it began: with and without the ledger's id."""
    world, ended = World(), World()
    for each in (world, ended):
        each.decide(each.put("a", 1))
    before = _home(tmp_path / "before", ended.epochs)
    ended.begin_epoch(auditor="auditor again", ledger="ledger again")
    after = _home(tmp_path / "after", ended.epochs)
    request = world.get("a")
    decision = world.decide(request)
    receipts = Receipts(signed=decision.signed, outcomes=decision.outcomes, outputs=decision.outputs)
    file = tmp_path / "a.receipt"
    receipt = build_receipt(receipts, request.request_id, world.epochs.genesis_bytes, world.epochs.signed)
    file.write_bytes(receipt.to_bytes())
    trusted = ("--ledger-id", world.ledger_id.hex())
    for more in ((), trusted):
        assert _verify("receipt", file, before, *more)["exit_code"] == 0
        said = _verify("receipt", file, after, *more)
        assert (said["exit_code"], said["error"]) == (5, "epoch.cut")
    for elsewhere in (tmp_path / "nowhere", _home(tmp_path / "other", World(b"other").epochs)):
        assert _verify("receipt", file, elsewhere, *trusted)["exit_code"] == 0


def test_what_a_key_signed_that_was_given_up_names_the_key(tmp_path: Path) -> None:
    """The home knows a later epoch than the evidence: not the Ledger is guilty, whoever has its old key may be."""
    world = World()
    world.decide(world.put("a", 1))
    decision = world.decide(world.get("a"))
    result = result_of(decision)
    file = tmp_path / "a.evidence"
    forged = world.restate(result, ordered_at_ms=0)
    file.write_bytes(build.two_ledger_statements(world.epochs, result, forged).to_bytes())
    assert _verify("evidence", file, _home(tmp_path / "before", world.epochs))["finding"] == "GUILTY"
    world.begin_epoch(ledger="ledger again")
    said = _verify("evidence", file, _home(tmp_path / "after", world.epochs))
    assert (said["exit_code"], said["finding"]) == (5, "KEY")
