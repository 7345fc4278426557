"""`bench` on a whole ledger, for a moment: what programs are promised is there, for every process."""

import pytest

from deploy.commands.bench import Plan, Workload, _measure
from deploy.output import Output
from streams.client_options import ClientOptions
from tests.pipeline import Pipeline

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(300)]

ROLES = {"auditor", "ledger", "learner", *(f"replica-{number}" for number in range(4))}
WORKS = {"Verify", "Execute", "Fetch", "Apply", "Note", "Sign", "Publish", "decode", "encode", "step"}
"""What a stage does, in the names of its effects: `Apply` is the store with its fsync, `Note` the signing guard with
its own, the last three are the machine's."""


@pytest.mark.parametrize("sign_each", [False, True])
def test_a_short_measurement(ledger: Pipeline, sign_each: bool) -> None:
    """Each request decided and verified, none lost; CPU and memory of every process, and the work of every stage."""
    plan = Plan(
        workload=Workload.PUT,
        seconds=2,
        warmup_seconds=0.5,
        accounts=100,
        hot=False,
        sign_each=sign_each,
        partitions=4,
        rate=200,
        in_flight=1_000,
        views=False,
        store=None,
        store_of=None,
    )
    with ledger.client(options=ClientOptions(signed_together=1 if sign_each else 500)) as client:
        result = _measure(Output(False), plan, ledger.deployment, client)
    assert (result["failed"], result["rejected"]) == (0, 0)
    assert result["decided"] > 100
    assert result["requests_per_second"] == pytest.approx(result["decided"] / result["seconds"], rel=0.01)
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"]
    assert result["cpu_us_per_request"].keys() >= ROLES
    assert all(result["cpu_us_per_request"][name] > 0 for name in ("auditor", "ledger"))
    assert all(result["rss_mib"][name] > 0 for name in ROLES)
    assert result["cpu_us_per_request_total"] == pytest.approx(sum(result["cpu_us_per_request"].values()), rel=0.01)
    works = {row["work"] for row in result["stages"] if row["role"] in ("auditor", "ledger")}
    assert {work.partition(".")[2] for work in works} >= WORKS
    assert sum(row["cpu_us"] for row in result["stages"]) > 0
