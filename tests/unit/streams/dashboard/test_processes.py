"""Rates, means and curves out of what processes say of themselves, whatever anybody says on the topic."""

import math

import pytest

from schemas.feed import Measure, Metrics
from streams.dashboard.processes import SAMPLES, Processes, ProcessHistory

ROLES = ("auditor", "ledger", "replica-0")


def metrics(at_ms: int, role: str = "auditor", instance: str = "1", **values: float) -> Metrics:
    """What a process says; `__` in a name stands for a dot."""
    measures = tuple(Measure(name.replace("__", "."), value) for name, value in values.items())
    return Metrics(role=role, instance=instance, at_ms=at_ms, values=measures)


def history(*points: tuple[int, dict[str, float]]) -> ProcessHistory:
    made = ProcessHistory("auditor", "1")
    for at_ms, values in points:
        measures = tuple(Measure(name, value) for name, value in values.items())
        made.take(Metrics(role="auditor", instance="1", at_ms=at_ms, values=measures), at_ms)
    return made


def test_a_rate_is_growth_over_the_senders_time() -> None:
    """Over the last seconds only, and by the sender's clock, however late we read it."""
    done = [100.0 * i for i in range(10)] + [1_000 + 50.0 * i for i in range(10)]
    made = history(*((1_000 * i, {"done": value}) for i, value in enumerate(done)))
    assert made.rate("done") == pytest.approx(50)
    assert made.rate("other") is None
    assert history((0, {"done": 1})).rate("done") is None
    late = ProcessHistory("auditor", "1")
    for i in range(3):
        late.take(metrics(1_000 * i, done=10 * i), 99_000)
    assert late.rate("done") == pytest.approx(10)


def test_a_restart_is_a_new_beginning() -> None:
    """A counter that fell gives no negative rate; no more does a clock that goes back."""
    made = history((0, {"n": 900}), (1_000, {"n": 1_000}), (2_000, {"n": 5}), (3_000, {"n": 25}))
    assert made.rate("n") == pytest.approx(20)
    assert made.curve("n") == [100, None, 20]
    assert made.growth("n", 60_000) == 0, "no more than it can be shown to be"
    back = history((9_000, {"n": 900}), (10_000, {"n": 1_000}), (1_000, {"n": 1_010}), (2_000, {"n": 1_040}))
    assert back.rate("n") == pytest.approx(30)


def test_a_mean_is_of_late() -> None:
    """Milliseconds by how often, of the last seconds, not since the beginning; none if nothing happened."""
    made = history((0, {"ms": 0, "n": 0}), (30_000, {"ms": 9_000, "n": 3}), (31_000, {"ms": 9_040, "n": 5}))
    assert made.mean("ms", "n") == pytest.approx(20)
    assert history((0, {"ms": 5, "n": 5}), (1_000, {"ms": 5, "n": 5})).mean("ms", "n") is None


def test_a_curve_is_a_minute_at_most() -> None:
    """One point a second, bounded; a gauge that appears is no jump, a counter that appears is growth."""
    made = history(*((1_000 * i, {"n": 7.0 * i}) for i in range(3 * SAMPLES)))
    assert made.curve("n") == [7.0] * (SAMPLES - 1)
    appearing = history((0, {}), (1_000, {"n": 4, "gauge_sequence": 5_000}))
    assert appearing.curve("n") == [4]
    assert appearing.curve("gauge_sequence") == [None]


def test_only_roles_of_the_ledger_are_kept() -> None:
    """Anybody may write metrics: no unknown role, and not more than a few processes of a known one."""
    processes = Processes(ROLES)
    assert not processes.take(metrics(0, role="intruder"), 0)
    for i in range(1_000):
        assert processes.take(metrics(i, instance=f"{i}" * 200), i)
    listed = list(processes.listed(1_000))
    assert len(listed) <= 8
    assert all(len(each.instance) <= 128 for each in listed)


def test_values_are_bounded_and_finite() -> None:
    """What JSON cannot hold, and more than a page can use, is left out."""
    odd = {"nan": math.nan, "infinite": -math.inf, "greatest": 2.0**53 + 2, "least": -1e300, "x" * 500: 1.0}
    assert dict(history((0, {**odd, "good": 2.0**53})).values) == {"good": 2.0**53}
    many = history((0, {f"n{i}": 1 for i in range(5_000)}))
    assert len(many.values) == 1_000


def test_the_process_that_spoke_last_is_the_active_one() -> None:
    """After a restart the old process is forgotten; two that both speak are both listed."""
    processes = Processes(ROLES)
    for second in range(10):
        processes.take(metrics(1_000 * second, instance="old"), 1_000 * second)
        processes.take(metrics(1_000 * second, role="ledger", instance="other"), 1_000 * second)
    processes.take(metrics(0, instance="new"), 10_000)
    active = processes.active("auditor")
    assert active is not None
    assert active.instance == "new"
    assert {each.instance for each in processes.listed(10_000)} == {"old", "new", "other"}
    assert [each.instance for each in processes.listed(60_000)] == ["new", "other"]
    assert processes.active("replica-0") is None
