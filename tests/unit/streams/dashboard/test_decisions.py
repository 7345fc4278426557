"""The decisions on the page: counted once, bounded, with the latencies of the last minute."""

from streams.dashboard.decisions import LISTED, SECONDS, DecisionLog, SeenDecision

SECOND_MS = 1_000


def seen(
    sequence: int, *, took_ms: int = 20, count: int = 10, at_ms: int = 0, other: bool = False
) -> SeenDecision:
    return SeenDecision(
        sequence=sequence,
        count=count,
        kind="normal",
        ordered_at_ms=at_ms - took_ms,
        decided_at_ms=at_ms,
        statement_hash=bytes((sequence % 251, other)) * 16,
    )


def test_rates_and_latencies_of_late() -> None:
    """Requests per second of the last whole seconds; the median and the 99th of the last minute."""
    log = DecisionLog()
    now = 1_000_000 * SECOND_MS
    for sequence in range(200):
        at_ms = now - 20_000 + 100 * sequence
        log.take(seen(sequence, took_ms=sequence, at_ms=at_ms), at_ms)
    shown = log.snapshot(now)
    assert (shown["sequence"], shown["requests_per_s"], shown["per_s"]) == (199, 100, 10)
    assert (shown["p50_ms"], shown["p99_ms"]) == (99, 197)
    assert shown["curve"][-20:] == [100] * 20
    assert [each["sequence"] for each in shown["newest"]] == list(range(199, 199 - LISTED, -1))
    later = log.snapshot(now + 120 * SECOND_MS)
    assert (later["requests_per_s"], later["p50_ms"], set(later["curve"])) == (0, None, {0})


def test_what_is_sent_again_counts_once() -> None:
    """The Auditor sends decisions again when nothing moves."""
    log = DecisionLog()
    for sequence in (0, 1, 0, 1, 2, 1):
        log.take(seen(sequence), 500)
    shown = log.snapshot(2 * SECOND_MS)
    assert sum(shown["curve"]) == 30
    assert shown["conflicts"] == 0


def test_what_was_sent_in_another_order_is_listed_in_its_own() -> None:
    """A resent decision may stand in the log behind later ones; one from long ago changes nothing."""
    log = DecisionLog()
    for sequence in (3, 4, 1, 2, 5, 0):
        log.take(seen(sequence), 500)
    assert [each["sequence"] for each in log.snapshot(0)["newest"]] == [5, 4, 3, 2, 1, 0]
    log.take(seen(5_000), 500)
    log.take(seen(6), 500)
    assert [each["sequence"] for each in log.snapshot(0)["newest"]] == [5_000, 5, 4, 3, 2, 1, 0]


def test_another_statement_of_a_sequence_is_a_conflict() -> None:
    """Doubly signed, and not the one we know: counted, and the first one stays."""
    log = DecisionLog()
    log.take(seen(7), 0)
    log.take(seen(7, other=True), 0)
    shown = log.snapshot(0)
    assert shown["conflicts"] == 1
    assert len(shown["newest"]) == 1


def test_a_clock_that_is_ahead_makes_no_negative_latency() -> None:
    """The order's time is the Auditor's, the decision's the broker's."""
    log = DecisionLog()
    log.take(seen(0, took_ms=-500, at_ms=1_000), 1_000)
    assert log.snapshot(1_000)["p50_ms"] == 0


def test_what_is_remembered_is_bounded() -> None:
    """However long it runs: the last decisions and seconds, no more."""
    log = DecisionLog()
    for sequence in range(3_000):
        log.take(seen(sequence, at_ms=1_000 * sequence), 1_000 * sequence)
    assert len(log._known) == 512
    assert min(log._known) == 3_000 - 512
    assert len(log._seconds) == 2 * SECONDS
