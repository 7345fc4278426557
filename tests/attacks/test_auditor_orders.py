"""Impossible, stale and duplicate orders: the Ledger refuses them with a proof that names the Auditor.

A stale order comes from the real ordering machine over a store that was taken back; the others are the machine's
order, altered and signed again with the Auditor's key. In each, the Ledger's refusal is judged too: it is no
false accusation.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocol.evidence.verdicts import AUDITOR
from protocol.hashing import tagged
from protocol.records import RecordKey
from protocol.requests import OpenedRequest
from schemas.order import Entry, Order, OrderHeader
from tests.attacks.lies import bend_order, refusal_codes, take_back
from tests.attacks.line import Line
from tests.gallery.hanging import A, alter_entry, alter_read
from tests.gallery.orders import SCANNER
from tests.worlds import World

BOBS_KEY = RecordKey("sys", "entity/bob/key/1")
GUARDIAN = """
def execute(argument):
    mine, other = get("object", argument["mine"]), get("object", argument["other"])
    if mine + other < 2:
        fail("one must stay")
    put("object", argument["mine"], 0)
"""
"""Lets one of two go off duty, as long as both are on."""


def started() -> Line:
    """A line with two versions of object "a", and bob."""
    line = Line()
    line.put("a", 1)
    line.put("a", 2)
    line.ask(line.clients.enrol("bob"))
    line.run()
    line.check_honest()
    return line


def check_refused(line: Line, code: str, *requests: OpenedRequest) -> None:
    """Require that the Ledger refused with a code, that the Auditor is named, and that nothing was decided."""
    assert refusal_codes(line) == [code]
    assert line.named() == {AUDITOR}
    assert line.halts()["commit"] == "evidence.raised"
    assert not {request.request_id for request in requests} & line.receipts().keys()


def test_a_stale_read_names_the_auditor() -> None:
    """Its order reads a version that a smaller sequence replaced."""
    line = started()
    take_back(line.auditor, A, 1)
    request = line.get("a")
    line.run()
    check_refused(line, "order.stale_read", request)


def test_write_skew_names_the_auditor() -> None:
    """Two requests that each read both records and write one: the second does not see the first's write."""
    line = Line()
    line.ask(line.clients.request("sys.contract.register", {"contract": "off", "source": GUARDIAN, "version": 1}))
    line.put("a", 1)
    line.put("b", 1)
    first = line.clients.request("off", {"mine": "a", "other": "b"})
    second = line.clients.request("off", {"mine": "b", "other": "a"})
    line.ask(first)
    line.stages["order"].move()
    take_back(line.auditor, A, 1)
    line.ask(second)
    line.run()
    assert first.request_id in line.receipts()
    check_refused(line, "order.stale_read", second)


def test_the_same_two_requests_in_honest_order_name_nobody() -> None:
    line = Line()
    line.ask(line.clients.request("sys.contract.register", {"contract": "off", "source": GUARDIAN, "version": 1}))
    line.put("a", 1)
    line.put("b", 1)
    requests = [
        line.clients.request("off", {"mine": "a", "other": "b"}),
        line.clients.request("off", {"mine": "b", "other": "a"}),
    ]
    line.ask(*requests)
    line.run()
    line.check_honest()
    assert [line.receipts()[request.request_id].status for request in requests] == ["ok", "failed"]


def test_a_revoked_key_through_a_stale_read_names_the_auditor() -> None:
    """The Auditor orders a request of a revoked key as if its record had not changed."""
    line = started()
    line.ask(line.clients.request("sys.key.revoke", {"entity": "bob", "key_version": 1}))
    line.run()
    take_back(line.auditor, BOBS_KEY, 1)
    request = line.clients.request("object.get", {"key": "a"}, "bob")
    line.ask(request)
    line.run()
    check_refused(line, "order.stale_read", request)


@pytest.mark.parametrize("revoked_first", [True, False])
def test_revocation_and_use_in_one_batch_name_nobody(revoked_first: bool) -> None:
    """Whichever comes first, both parties see the same."""
    line = started()
    revocation = line.clients.request("sys.key.revoke", {"entity": "bob", "key_version": 1})
    use = line.clients.request("object.get", {"key": "a"}, "bob")
    line.ask(*((revocation, use) if revoked_first else (use, revocation)))
    line.run()
    line.check_honest()
    assert line.receipts()[revocation.request_id].ok
    assert (use.request_id in line.receipts()) is not revoked_first
    assert line.code_of(use) == ("entity.key_revoked" if revoked_first else "")


def test_a_deleted_record_that_is_made_again_names_nobody() -> None:
    """A tombstone is a version like any other."""
    line = started()
    line.ask(line.clients.request("object.delete", {"key": "a"}))
    line.run()
    line.put("a", 3)
    request = line.get("a")
    line.run()
    line.check_honest()
    assert line.receipts()[request.request_id].output == 3


Lie = Callable[[Line, Order], Order]


def _instead(line: Line, order: Order, request: OpenedRequest) -> Order:
    return line.clients.reorder(order, alter_entry(order, 0, envelope=request.envelope_bytes))


def _absent(line: Line, order: Order) -> Order:
    entries = alter_read(order, 0, A, version=0, writer_sequence=-1, writer_index=-1)
    return line.clients.reorder(order, entries)


def _false_writer(line: Line, order: Order) -> Order:
    return line.clients.reorder(order, alter_read(order, 0, A, version=3, writer_sequence=0, writer_index=0))


def _repeated(line: Line, order: Order) -> Order:
    earlier = Entry.from_bytes(line.orders()[0].entries[0])
    return line.clients.reorder(order, alter_entry(order, 0, envelope=earlier.envelope))


def _twice(line: Line, order: Order) -> Order:
    return line.clients.reorder(order, (*order.entries, *alter_entry(order, 0, index=1)))


def _time_falls(line: Line, order: Order) -> Order:
    return line.clients.reorder(order, ordered_at_ms=OrderHeader.from_bytes(line.orders()[1].header).ordered_at_ms - 1)


def _blind(line: Line, order: Order) -> Order:
    """The scan of an order, without its last row."""
    (scanned,) = Entry.from_bytes(order.entries[0]).scans
    rows = scanned.rows[:-1]
    return line.clients.reorder(order, alter_entry(order, 0, scans=(scanned._replace(rows=rows),)))


LIES: dict[str, tuple[str, Lie]] = {
    "version 0 of a key that exists": ("order.stale_read", _absent),
    "a version from one that did not write it": ("order.false_writer", _false_writer),
    "a request of an earlier order": ("order.repeated", _repeated),
    "a request twice": ("order.repeated", _twice),
    "another predecessor": (
        "order.predecessor",
        lambda line, order: line.clients.reorder(order, previous_order_hash=tagged("order", b"another")),
    ),
    "a time that falls": ("order.time", _time_falls),
    "an empty order with entries": (
        "order.malformed",
        lambda line, order: line.clients.reorder(order, kind="empty"),
    ),
    "an entry with another index": (
        "order.malformed",
        lambda line, order: line.clients.reorder(order, alter_entry(order, 0, index=5)),
    ),
    "an entry that is none": (
        "order.malformed",
        lambda line, order: line.clients.reorder(order, (order.entries[0] + b"\0",)),
    ),
    "a request its client did not sign": (
        "order.client",
        lambda line, order: _instead(line, order, line.clients.request("object.get", {"key": "a"}, signer="eve")),
    ),
    "a request that is to come later": (
        "order.not_after",
        lambda line, order: _instead(line, order, line.clients.request("object.get", {"key": "a"}, after=99)),
    ),
    "a request that has expired": (
        "order.time",
        lambda line, order: _instead(
            line, order, line.clients.request("object.get", {"key": "a"}, expiry_ms=line.log.now_ms - 10)
        ),
    ),
    "a request of another ledger": (
        "order.malformed",
        lambda line, order: _instead(line, order, World(b"other").get("a")),
    ),
    "a contract that is not there": (
        "order.versions",
        lambda line, order: _instead(line, order, line.clients.request("nowhere", {})),
    ),
    "an entity that is not there": (
        "order.client",
        lambda line, order: _instead(line, order, line.clients.request("object.get", {"key": "a"}, "nobody")),
    ),
    "a range with a key left out": ("order.stale_read", _blind),
}


@pytest.mark.parametrize("name", LIES)
def test_an_impossible_order_names_the_auditor(name: str) -> None:
    line = started()
    code, lie = LIES[name]
    line.ask(line.clients.request("sys.contract.register", {"contract": "scanner", "source": SCANNER, "version": 1}))
    line.run()
    bend_order(line, max(line.orders()) + 1, lambda order: lie(line, order))
    scan = line.clients.request("scanner", {"start": "", "end": "", "limit": 10})
    request = scan if lie is _blind else line.clients.get("a")
    line.ask(request)
    line.run()
    check_refused(line, code, request)


@pytest.mark.parametrize(
    ("changes", "halts"),
    [
        ({"format": 2}, {}),
        ({"kind": "audit"}, {"commit": "epoch.needed"}),
        ({"kind": "last"}, {"commit": "epoch.needed"}),
    ],
    ids=repr,
)
def test_a_lie_in_an_order_that_nobody_judges_is_not_acted_upon(changes: dict[str, Any], halts: dict[str, str]) -> None:
    """No verifier of evidence judges such orders, so what they say could never name the Auditor; the Ledger does not
    blame its own store for it either.
    """
    line = started()
    sequence = max(line.orders()) + 1
    take_back(line.auditor, A, 1)
    bend_order(line, sequence, lambda order: line.clients.reorder(order, **changes))
    request = line.get("a")
    line.run()
    assert sequence in line.orders()
    assert sequence not in line.results()
    assert request.request_id not in line.receipts()
    line.check_nobody_accused()
    assert line.halts() == halts


def test_a_key_beyond_the_limit_of_a_scan_names_nobody() -> None:
    """A scan that ends at its LIMIT says nothing of what lies behind."""
    line = started()
    line.ask(line.clients.request("sys.contract.register", {"contract": "scanner", "source": SCANNER, "version": 1}))
    line.put("b", 1)
    line.put("c", 1)
    scan = line.clients.request("scanner", {"start": "", "end": "", "limit": 2})
    line.ask(scan)
    line.run()
    line.check_honest()
    assert line.receipts()[scan.request_id].ok


def test_an_order_that_nobody_signed_is_skipped() -> None:
    """Anybody can write to the log, and names nobody by it."""
    line = started()
    sequence = max(line.orders()) + 1
    line.stages["commit"].stopped = True
    request = line.get("a")
    line.run(100)
    order = line.orders()[sequence]
    line.log.lose_tail("orders", 0, 1)
    line.send("orders", replace(order, signature=bytes(63) + b"\1").to_message())
    line.stages["commit"].stopped = False
    line.run(8000)
    assert line.stages["commit"].measures["skipped"] >= 1
    assert request.request_id in line.receipts()
    line.check_nobody_accused()
