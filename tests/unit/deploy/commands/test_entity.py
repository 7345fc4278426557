"""`entity`: a private key is kept exactly where it may be the registered one, and nowhere outside the home."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from deploy.commands.entity import KeyAlgorithm, _new_key
from deploy.home import Home
from deploy.session import newest_key_version
from protocol.errors import CountersignError
from streams.client import NoReceiptError, RejectedError
from streams.client_receipts import ClientReceipt, ContractFailedError
from tests.command_line import app


def _failed(code: str) -> ContractFailedError:
    return ContractFailedError(cast(ClientReceipt, SimpleNamespace(code=code, fail_text="")))


def _register(file: Path, error: BaseException | None = None) -> bytes:
    """Make a key whose registration ends like that; gives the public key."""
    public: list[bytes] = []
    expected = nullcontext() if error is None else pytest.raises(type(error))
    with expected, _new_key(file, KeyAlgorithm.P256) as key:
        public.append(key.public_key.key)
        if error is not None:
            raise error
    return public[0]


@pytest.mark.parametrize("name", ["../../../escaped", "a b/c", "", "..", "/tmp/x"])
def test_what_is_no_name_makes_no_file(tmp_path: Path, name: str) -> None:
    """Neither in the home nor beside it."""
    home = tmp_path / "deep" / "home"
    home.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    done = CliRunner().invoke(app, ["entity", "register", name, "--home", str(home)])
    assert done.exit_code != 0
    assert "name.refused" in done.output
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("option", "value", "known"), [("--algorithm", "rsa", "ed25519"),
                                                       ("--right", "all", "contract.register")])  # fmt: skip
def test_an_unknown_algorithm_or_right_is_wrong_usage(tmp_path: Path, option: str, value: str, known: str) -> None:
    """And not a key of another kind, or a request that must fail."""
    done = CliRunner().invoke(app, ["entity", "register", "eve", option, value, "--home", str(tmp_path)])
    assert done.exit_code == 2
    assert known in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [_failed("right.missing"), RejectedError("busy")])
def test_a_refused_registration_leaves_no_key(tmp_path: Path, error: Any) -> None:
    """The next one has the name free, with a key of its own."""
    file = tmp_path / "key-1.pem"
    refused = _register(file, error)
    assert list(tmp_path.iterdir()) == []
    assert _register(file) != refused
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "error",
    [NoReceiptError("request.expired"), RejectedError("request.replayed"), KeyboardInterrupt()],
)
def test_a_key_of_an_unknown_outcome_is_taken_up_again(tmp_path: Path, error: Any) -> None:
    """It is not yet the entity's key here; the next run registers the same one, or hears that it was."""
    file = Home(tmp_path).key_file("eve", 1)
    first = _register(file, error)
    with pytest.raises(CountersignError) as caught:
        newest_key_version(Home(tmp_path), "eve")
    assert caught.value.code == "entity.no_key"
    assert _register(file, _failed("right.missing")) == first
    assert _register(file, _failed("entity.exists")) == first
    assert newest_key_version(Home(tmp_path), "eve") == 1
    for name in ("key-1 (copy).pem", "key-9.pem", "key-10.pem"):
        file.with_name(name).touch()
    assert newest_key_version(Home(tmp_path), "eve") == 10


def test_a_key_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    """The code says that it is about a file."""
    file = tmp_path / "key-1.pem"
    _register(file)
    kept = file.read_bytes()
    with pytest.raises(CountersignError) as caught, _new_key(file, KeyAlgorithm.P256):
        pass
    assert caught.value.code == "file.exists"
    assert file.read_bytes() == kept
