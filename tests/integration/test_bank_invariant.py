"""Money neither comes nor goes: transfers over four partitions, looked at while they run and at every sequence."""

import time

import pytest

from schemas.topics import REQUESTS
from tests.agreement import await_rest, check_balances, check_nobody_is_accused
from tests.background_load import BackgroundLoad
from tests.pipeline import Pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_SUM = "SELECT sum((value ->> 'balance')::BIGINT), count(*) FROM records WHERE namespace = 'bank'"
_SECONDS = 5.0
_LOOKED_AT = 150
"""Sequences that are each asked for by `as_of`; all of them are checked by one query over the history."""


def test_all_balances_sum_up_at_every_sequence(ledger: Pipeline) -> None:
    """While transfers run, a query sees the same sum each time; afterwards every sequence shows it."""
    load = BackgroundLoad(ledger, seed=3, rate=400)
    load.open_accounts()
    opened = max(answer.sequence for answer in load.answers)
    total = (load.money, len(load.answers))
    views, seen = ledger.views(), set()
    before = ledger.extents()
    with load.running():
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            answer = views.query(_SUM, wait_for=opened)
            assert [int(str(value)) for value in answer.rows[0]] == list(total), f"sequence {answer.sequence}"
            seen.add(answer.sequence)
    assert len(seen) > 5
    assert {answer.status for answer in load.answers} == {"ok", "failed"}
    after = ledger.extents()
    assert all(after[REQUESTS, partition].end > before[REQUESTS, partition].end for partition in range(4))
    await_rest(ledger)
    last = max(answer.sequence for answer in load.answers)
    for sequence in range(opened, last + 1, 1 + (last - opened) // _LOOKED_AT):
        answer = views.query(_SUM, as_of=sequence)
        assert [int(str(value)) for value in answer.rows[0]] == list(total), f"sequence {sequence}"
    check_balances(ledger, load.money)
    check_nobody_is_accused(ledger)
