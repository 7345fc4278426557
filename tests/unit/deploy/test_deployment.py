"""`up` as far as it comes without a server."""

from pathlib import Path

import pytest

from deploy.deployment import Deployment
from deploy.home import Home
from deploy.initialize import AUDITOR, NewLedger, initialize
from deploy.local.settings import STACK_FILE, StackSettings
from deploy.local.stack import LocalStack
from protocol.errors import CountersignError
from streams.kafka_admin import KafkaAdmin
from streams.log import LogUnavailableError


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A ledger that was made and never started."""
    home = Home(tmp_path / "home")
    initialize(home, NewLedger())
    return home


def _say_nothing(_: str) -> None:
    return


def test_a_broker_that_does_not_answer_is_written_nowhere(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The roles' files keep the address of the one that did."""

    def start(stack: LocalStack, _: object) -> None:
        ports = {"auditor-store": 10_001, "ledger-store": 10_002}
        settings = StackSettings(broker="localhost:1", ports=ports, passwords=dict.fromkeys(ports, "secret"))
        settings.save(stack.directory / STACK_FILE)

    def describe(_: KafkaAdmin) -> None:
        raise LogUnavailableError("nobody is there")

    monkeypatch.setattr(LocalStack, "start", start)
    monkeypatch.setattr(KafkaAdmin, "describe", describe)
    before = home.load(AUDITOR)
    with pytest.raises(LogUnavailableError):
        Deployment(home, broker="localhost:1").up(_say_nothing)
    assert home.load(AUDITOR) == before


def test_only_one_starts_or_stops_a_ledger_at_a_time(home: Home) -> None:
    """A second `up` does not take the roles that the first one is about to start for missing ones."""
    with LocalStack(home.stack).alone():
        for work in (Deployment(home).up, Deployment(home).down):
            with pytest.raises(CountersignError, match="another process") as caught:
                work(_say_nothing)
            assert caught.value.code == "stack.running"
