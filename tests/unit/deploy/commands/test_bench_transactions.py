"""`bench transactions` on stores without a server: workloads run, figures add up, wrong options are refused."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.commands import bench_transactions
from deploy.measuring.transactions.places import MeasuredStore
from deploy.measuring.transactions.plan import Driver, Plan, usual_driver, usual_processes
from tests.command_line import app

QUICK = ("--threads", "2", "--seconds", "0.3", "--warmup-seconds", "0", "--accounts", "200", "--json")


def _bench(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["bench", "transactions", *arguments, *QUICK])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize("workload", ["transfer", "ycsb-a", "ycsb-c", "ycsb-f"])
def test_every_workload_is_measured_beside_its_twin(store: str, workload: str) -> None:
    """Both did something, nobody met an error, and no money is missing."""
    result = _bench("--store", store, "--workload", workload)
    assert min(result["transactions_per_second"], result["by_hand_per_second"]) > 10
    assert result["errors"] == {}
    assert result["is_balanced"] is True
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"]


def test_a_transfer_is_two_reads_and_one_batch() -> None:
    """In one phase; two phases take more calls."""
    once, twice = _bench("--store", "memory"), _bench("--store", "memory", "--two-phase")
    assert once["storage_calls_per_transaction"] == pytest.approx(3, abs=0.3)
    assert twice["storage_calls_per_transaction"] >= once["storage_calls_per_transaction"]


def test_a_hot_account_costs_the_caller_no_error() -> None:
    """Conflicts are queued for, or tried again."""
    result = _bench("--store", "sqlite", "--hot")
    assert (result["errors"], result["is_balanced"]) == ({}, True)


def test_two_client_processes_share_the_threads() -> None:
    """What both did is counted together, and their manager's calls and CPU time, too."""
    result = _bench("--store", "sqlite", "--processes", "2")
    assert (result["plan"]["processes"], result["errors"], result["is_balanced"]) == (2, {}, True)
    assert result["storage_calls_per_transaction"] == pytest.approx(3, abs=0.5)
    assert result["transactions"] > 2
    assert result["cpu_us_per_transaction"]["client"] > 10


@pytest.mark.parametrize(("store", "workload"), [("memory", "transfer"), ("sqlite", "ycsb-a"), ("memory", "ycsb-f")])
def test_coroutines_drive_the_same_work(store: str, workload: str) -> None:
    """Each does its tasks, nobody meets an error, and no money is missing."""
    result = _bench("--store", store, "--driver", "tasks", "--workload", workload)
    assert (result["plan"]["driver"], result["errors"], result["is_balanced"]) == ("tasks", {}, True)
    assert result["transactions_per_second"] > 10
    assert result["storage_calls_per_transaction"] == pytest.approx(2.5, abs=1.0)


@pytest.mark.parametrize(
    ("store", "threads", "hot", "processes"),
    [
        (MeasuredStore.VALKEY, 16, False, 2),
        (MeasuredStore.POSTGRESQL, 1, False, 1),
        (MeasuredStore.VALKEY, 32, True, 1),
        (MeasuredStore.SQLITE, 16, False, 1),
        (MeasuredStore.MEMORY, 16, False, 1),
    ],
)
def test_how_many_processes_are_usual(store: MeasuredStore, threads: int, hot: bool, processes: int) -> None:
    """One for each core, where the database is not a part of the process, and no queue of one process helps."""
    assert usual_processes(store, threads=threads, hot=hot, cores=2) == processes


def test_the_usual_driver() -> None:
    """Tasks where a store can be awaited, but at a hot account."""
    assert usual_driver(MeasuredStore.VALKEY, hot=False) is Driver.TASKS
    assert usual_driver(MeasuredStore.VALKEY, hot=True) is Driver.THREADS
    assert usual_driver(MeasuredStore.POSTGRESQL, hot=False) is Driver.THREADS
    assert _bench("--store", "memory")["plan"]["driver"] == "threads"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--processes", "2"),
        ("--processes", "3", "--threads", "2", "--store", "sqlite"),
        ("--hot", "--workload", "ycsb-a"),
        ("--accounts", "201"),
        ("--isolation", "chaos"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments: tuple[str, ...]) -> None:
    """As wrong usage."""
    assert CliRunner().invoke(app, ["bench", "transactions", "--store", "memory", *arguments]).exit_code == 2


def test_the_store_is_valkey_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the README has it: no option is needed."""
    plans: list[Plan] = []
    monkeypatch.setattr(bench_transactions, "_run", lambda _output, plan, _directory: plans.append(plan))
    done = CliRunner().invoke(app, ["bench", "transactions", "--json"])
    assert (done.exit_code, [plan.store for plan in plans]) == (0, [MeasuredStore.VALKEY])
