"""`bench` alone measures transfers, as it always did; a name chooses something else."""

from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.commands import bench
from deploy.commands.bench import Plan
from tests.command_line import app


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """What was to be measured; nothing is."""
    noted: list[Plan] = []

    def note(output: Any, plan: Plan, home: Any) -> None:
        noted.append(plan)

    monkeypatch.setattr(bench, "_run", note)
    monkeypatch.setattr(bench, "collect_rarely", lambda: None)
    return noted


@pytest.mark.parametrize(
    ("words", "workload", "seconds"),
    [
        ("bench", "transfer", 60),
        ("bench --seconds 5", "transfer", 5),
        ("bench transfer --seconds 20 --json", "transfer", 20),
        ("bench put --seconds 7", "put", 7),
    ],
)
def test_the_workload_is_transfer_unless_named(plans: list[Plan], words: str, workload: str, seconds: int) -> None:
    """With or without options, on each way that it could be called before."""
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 0, done.output
    assert [(plan.workload, plan.seconds, plan.accounts, plan.in_flight) for plan in plans] == [
        (workload, seconds, 100_000, 4000)
    ]


def test_an_unknown_workload_is_wrong_usage(plans: list[Plan]) -> None:
    """It is not taken for an option of `transfer`."""
    done = CliRunner().invoke(app, ["bench", "everything"])
    assert done.exit_code == 2
    assert not plans


@pytest.mark.parametrize(
    "words",
    [
        "--seconds 0",
        "--seconds -1",
        "--warmup-seconds -1",
        "--accounts 1",
        "--partitions 0",
        "--partitions 1000000",
        "--rate -1",
        "--in-flight 0",
    ],
)
def test_what_measures_nothing_is_wrong_usage(plans: list[Plan], words: str) -> None:
    """A transfer takes two accounts, and a figure of no time is none."""
    done = CliRunner().invoke(app, ["bench", "transfer", *words.split()])
    assert done.exit_code == 2
    assert not plans


def test_help_names_every_workload() -> None:
    """And shows an example of each."""
    listed = CliRunner().invoke(app, ["bench", "--help"]).output
    for name in ("transfer", "put", "dispersal"):
        assert name in listed
        assert "Example:" in CliRunner().invoke(app, ["bench", name, "--help"]).output
