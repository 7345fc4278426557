"""Crashes and lost disks: nothing is signed twice, the same bytes are sent again, and nobody is accused."""

import pytest

from schemas.statement import Result
from storage.effects import Apply, Note, Publish, Sign
from tests.attacks.line import Line
from tests.attacks.stages import MemoryGuard


def started() -> Line:
    """A line with two decided requests and learners."""
    line = Line(learns=True)
    line.put("a", 1)
    line.put("a", 2)
    line.check_honest()
    return line


@pytest.mark.parametrize("effect", [Apply, Note, Sign, Publish])
def test_a_ledger_that_crashes_around_its_signature_sends_the_same_bytes(effect: type) -> None:
    """Right before each effect, and once after it has sent: one result of the sequence, however often it is sent."""
    line = started()
    sequence = max(line.orders()) + 1
    commit = line.stages["commit"]
    commit.stopped = True
    request = line.get("a")
    line.run(50)
    commit.stopped = False
    commit.move(until=effect)
    assert isinstance(commit.effect, effect)
    commit.crash()
    line.run(100)
    commit.crash()
    line.run()
    line.check_honest()
    sent = [value for value in line.values("results") if Result.from_message(value) == line.results()[sequence]]
    assert len(set(sent)) == 1
    assert len(set(line.values("results"))) == len(line.results()), "no second result of any sequence"
    assert line.receipts()[request.request_id].output == 2


@pytest.mark.parametrize("name", ["order", "validate"])
@pytest.mark.parametrize("effect", [Apply, Note, Sign, Publish])
def test_an_auditor_that_crashes_around_its_signature_sends_the_same_bytes(effect: type, name: str) -> None:
    line = started()
    stage = line.stages[name]
    stage.stopped = True
    request = line.get("a")
    line.run(50)
    stage.stopped = False
    stage.move(until=effect)
    assert isinstance(stage.effect, effect)
    stage.crash()
    line.run()
    line.check_honest()
    for topic in ("orders", "decisions", "receipts"):
        assert len(set(line.values(topic))) <= len(line.orders())
    assert line.receipts()[request.request_id].output == 2


def test_a_wiped_ledger_is_rebuilt_and_makes_the_same_statements() -> None:
    """Its records and its results come out byte for byte, also where one was signed and not yet decided."""
    line = started()
    line.stages["validate"].stopped = True
    request = line.get("a")
    line.run(100)
    before, results = line.records(line.ledger), line.values("results")
    line.lose_ledger_store()
    line.stages["validate"].stopped = False
    line.run(60_000)
    line.check_honest()
    assert line.records(line.ledger) == before
    assert set(results) <= set(line.values("results"))
    assert len(set(line.values("results"))) == len(line.results()), "no second statement of any sequence"
    assert line.receipts()[request.request_id].output == 2


def test_a_lost_guard_signs_nothing_else() -> None:
    """Statements are functions of the orders, and orders of the store: both parties go on."""
    line = started()
    line.ledger.guard, line.auditor.guard = MemoryGuard(), MemoryGuard()
    for name in ("order", "validate", "commit"):
        line.stages[name].crash()
    request = line.get("a")
    line.run()
    line.check_honest()
    assert len(set(line.values("results"))) == len(line.results())
    assert line.receipts()[request.request_id].ok


def test_an_auditor_whose_store_was_rolled_back_halts_and_says_what_it_needs() -> None:
    """Its guard knows of an order that the store does not: that takes a new epoch. It signs nothing meanwhile."""
    line = started()
    backup = line.auditor.store.copy()
    line.get("a")
    line.run()
    orders = line.values("orders")
    line.auditor.store = backup
    for name in ("order", "validate"):
        line.stages[name].crash()
    line.get("a")
    line.run()
    assert line.halts()["order"] == "epoch.needed"
    assert line.values("orders") == orders
    line.check_nobody_accused()


def test_a_ledger_that_is_silent_is_not_accused() -> None:
    """Nor is a silent Auditor, or a silent replica: time alone never convicts."""
    line = started()
    for name in ("commit", "replica 1"):
        line.stages[name].stopped = True
    request = line.get("a")
    line.run(600_000)
    line.check_nobody_accused()
    assert line.halts() == {}
    assert request.request_id not in line.receipts()
    for stage in line.stages.values():
        stage.stopped = False
    line.run(60_000)
    line.check_honest()
    assert line.receipts()[request.request_id].ok
