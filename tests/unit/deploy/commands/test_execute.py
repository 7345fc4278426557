"""`execute`: what is wrong is said before anything is decided; what was decided is never lost."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.commands import execute as module
from deploy.roles.entry import RoleStatus
from tests.command_line import app


class FakeLedger:
    """Stands for the client; counts what was decided."""

    def __init__(self) -> None:
        self.decided = 0
        self.waits = 0
        self.answer: dict[str, Any] = {"ok": True, "status": "ok", "code": "", "fail_text": "", "output": None}
        self.spoils: Path | None = None

    @contextmanager
    def open(self, *_: object) -> Iterator["FakeLedger"]:
        yield self

    def submit(self, *_: object, **__: object) -> "FakeLedger":
        self.decided += 1
        return self

    def result(self, timeout_s: float | None = None) -> Any:
        if timeout_s is not None and self.waits:
            self.waits -= 1
            raise TimeoutError
        if self.spoils is not None:
            self.spoils.mkdir()  # no file can be written there any more
        places = {"request_id": b"\1" * 16, "sequence": 7, "index": 0, "to_bytes": lambda: b"receipt"}
        return SimpleNamespace(**places, **self.answer)


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> FakeLedger:
    fake = FakeLedger()
    monkeypatch.setattr(module, "open_client", fake.open)
    return fake


def _execute(home: Path, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["execute", *arguments, "--home", str(home)])


@pytest.mark.parametrize("place", [".", "no/such/directory/x"])
def test_a_place_for_the_receipt_is_looked_at_first(tmp_path: Path, ledger: FakeLedger, place: str) -> None:
    """Nothing is decided, and no directory made."""
    done = _execute(tmp_path, "object.put", "{}", "--receipt", str(tmp_path / place), "--json")
    assert (done.exit_code, json.loads(done.stdout)["error"]) == (4, "file.unusable")
    assert ledger.decided == 0
    assert list(tmp_path.iterdir()) == []


def test_a_receipt_that_cannot_be_written_any_more_is_kept_elsewhere(tmp_path: Path, ledger: FakeLedger) -> None:
    """Where receipts usually are; it is said, and the request was decided."""
    ledger.spoils = tmp_path / "my.receipt"
    done = _execute(tmp_path, "object.put", "{}", "--receipt", str(ledger.spoils), "--json")
    kept = Path(json.loads(done.stdout)["receipt"])
    assert done.exit_code == 0
    assert (kept.parent, kept.read_bytes()) == (tmp_path / "client" / "receipts", b"receipt")
    assert "file.unusable" in done.stderr


def test_a_receipt_that_can_be_kept_nowhere_does_not_hide_the_outcome(tmp_path: Path, ledger: FakeLedger) -> None:
    """The sequence is told all the same."""
    (tmp_path / "client").write_text("in the way")
    said = json.loads(_execute(tmp_path, "object.put", "{}", "--json").stdout)
    assert (said["sequence"], said["receipt"]) == (7, None)


@pytest.mark.parametrize("contract", ["object.get/abc", "object.get/0", "object.get/-1", "object.get/"])
def test_a_version_is_a_number(tmp_path: Path, ledger: FakeLedger, contract: str) -> None:
    """Else it is wrong usage."""
    assert _execute(tmp_path, contract, "{}").exit_code == 2
    assert ledger.decided == 0


def test_what_is_no_json_is_shown_how_to_quote(tmp_path: Path, ledger: FakeLedger) -> None:
    """The shell has often eaten the quotation marks."""
    done = _execute(tmp_path, "object.put", "{key:color}")
    assert "argument.not_json" in done.output
    assert """'{"key":"color","value":"blue"}'""" in done.output


def test_a_failed_outcome_is_explained(tmp_path: Path, ledger: FakeLedger) -> None:
    """With what to do, for people and for programs; the contract's own words are no markup."""
    ledger.answer |= {"ok": False, "status": "failed", "code": "contract.value", "fail_text": "bad [/x]"}
    done = _execute(tmp_path, "mine", "{}")
    assert done.exit_code == 3
    for words in ("The contract went wrong.", "bad [/x]", "Correct the argument or the contract."):
        assert words in done.output
    said = json.loads(_execute(tmp_path, "mine", "{}", "--json").stdout)
    assert (said["code"], said["remedy"]) == ("contract.value", "Correct the argument or the contract.")


def test_no_value_is_said_in_words(tmp_path: Path, ledger: FakeLedger) -> None:
    """A bare null says nothing."""
    assert _execute(tmp_path, "object.put", "{}").output.startswith("done; the contract gave no value\n")
    got = CliRunner().invoke(app, ["get", "[color]", "--home", str(tmp_path)])
    assert got.output.startswith("no value is stored under [color]\n")


def test_who_waits_for_long_is_told_what_to_look_at(tmp_path: Path, ledger: FakeLedger) -> None:
    """And still gets the receipt, however late it comes."""
    assert "still waiting" not in _execute(tmp_path, "object.put", "{}").output
    ledger.waits = 3
    done = _execute(tmp_path, "object.put", "{}")
    assert done.exit_code == 0
    assert done.output.count("still waiting") == 1
    assert f"countersign status --home {tmp_path}`" in done.output
    assert "sequence 7" in done.output


def test_nobody_waits_for_a_party_that_has_halted(tmp_path: Path, ledger: FakeLedger) -> None:
    """What it halted with comes as the command's error, as soon as the receipt is late."""
    ledger.waits = 1_000_000
    (tmp_path / "auditor").mkdir()
    RoleStatus(tmp_path / "auditor").write("halted", "evidence.raised", "of kind outcome")
    done = _execute(tmp_path, "object.put", "{}", "--json")
    assert done.exit_code == 5
    said = json.loads(done.stdout)
    assert (said["error"], said["detail"]) == ("evidence.raised", "the auditor has halted: of kind outcome")
    assert ledger.waits > 999_990
