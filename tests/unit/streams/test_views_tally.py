"""The rows of the live views: every decision counts once, and nothing grows without bound."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.feed import Learned, LearnedRequest, LearnedWrite
from schemas.topics import MESSAGE_BYTES_MAX
from streams.views_tally import (
    NAME_BYTES_MAX,
    RECORDS_MAX,
    VALUE_BYTES_MAX,
    Tally,
    add_activity,
    add_entity,
    add_records,
    tally,
)

LEDGER = bytes(32)


def write(key: str, version: int, value: bytes = b"1", *, deleted: bool = False) -> LearnedWrite:
    return LearnedWrite("bank", key, version, deleted, value)


def request(*writes: LearnedWrite, entity: str = "alice", code: str = "") -> LearnedRequest:
    return LearnedRequest(bytes(32), entity, "transfer", "failed" if code else "ok", code, writes)


def learned(sequence: int, *requests: LearnedRequest) -> Learned:
    return Learned(
        ledger_id=LEDGER,
        sequence=sequence,
        ordered_at_ms=1_000 + sequence,
        learned_at_ms=2_000 + sequence,
        requests=requests,
    )


def test_a_decision_is_counted_per_namespace_entity_and_record() -> None:
    """Requests that wrote, versions and deletions; an entity's last request; a record's last version."""
    made = tally(
        learned(
            7,
            request(write("a", 1), write("b", 4, b'{"x":1}')),
            request(write("a", 2, b"", deleted=True), entity="bob"),
            request(entity="bob", code="contract.failed"),
        )
    )
    assert made.activity == {"bank": {"requests": 2, "writes": 3, "deletions": 1, "sequence": 7}}
    assert made.entities["alice"]["requests"] == 1
    bob = made.entities["bob"]
    assert (bob["requests"], bob["failed"], bob["status"]) == (2, 1, "failed")
    assert (bob["code"], bob["sequence"], bob["ordered_at_ms"]) == ("contract.failed", 7, 1_007)
    records = made.records["bank"]["records"]
    assert list(records) == ["b", "a"]  # the one written last stands last
    assert records["b"]["value"] == '{"x":1}'
    assert (records["a"]["version"], records["a"]["deleted"], records["a"]["value"]) == (2, True, None)


def test_a_long_value_is_named_by_its_length() -> None:
    """The views bound what they hold of a value."""
    shown, long = b"1" * VALUE_BYTES_MAX, b"1" * (VALUE_BYTES_MAX + 1)
    records = tally(learned(0, request(write("a", 1, shown), write("b", 1, long)))).records["bank"]["records"]
    assert records["a"]["value"] == shown.decode()
    assert (records["b"]["value"], records["b"]["value_bytes"]) == (None, VALUE_BYTES_MAX + 1)


@pytest.mark.parametrize("sign", ["\x01", "\\", "\u00e9", "\U0001f600"])
def test_a_row_fits_into_its_changelog(sign: str) -> None:
    """As full as it can be, of the longest names in the signs that take most room as JSON; no longer ones are shown."""
    width = len(sign.encode())
    name, value = sign * (NAME_BYTES_MAX // width), sign.encode() * (VALUE_BYTES_MAX // width)
    full = [write(f"{number:04}{name[4:]}", 1, value) for number in range(RECORDS_MAX)]
    made = tally(
        learned(0, request(*full, write(name + sign, 1), entity=name), request(write("a", 1), entity=name + sign))
    )
    row = made.records["bank"]
    assert len(row["records"]) == RECORDS_MAX
    assert list(made.entities) == [name]
    assert len(json.dumps(row)) < MESSAGE_BYTES_MAX
    assert made.activity["bank"]["writes"] == RECORDS_MAX


def test_a_namespace_keeps_the_records_written_last() -> None:
    """Whatever is written, a row holds no more than RECORDS_MAX, and those are the newest."""
    first = tally(learned(0, request(*(write(f"old-{i}", 1) for i in range(RECORDS_MAX)))))
    later = tally(learned(1, request(write("old-0", 2), write("new", 1))))
    joined = add_records(first.records["bank"], later.records["bank"])
    assert joined is not None
    assert len(joined["records"]) == RECORDS_MAX
    assert "old-1" not in joined["records"]  # the oldest one that was not written again
    assert list(joined["records"])[-2:] == ["old-0", "new"]
    assert joined["records"]["old-0"]["version"] == 2
    held = first.records["bank"]["records"]
    assert (len(held), held["old-0"]["version"]) == (RECORDS_MAX, 1), "what is held in a table is not changed"
    many = tally(learned(2, request(*(write(f"more-{i}", 1) for i in range(2 * RECORDS_MAX)))))
    assert len(many.records["bank"]["records"]) == RECORDS_MAX


def test_an_older_decision_changes_no_newer_row() -> None:
    """Not even for as long as it takes until the newer one comes again."""
    older = tally(learned(3, request(write("a", 1), entity="e")))
    newer = tally(learned(4, request(write("a", 2), entity="e")))
    for held, new in ((newer, older), (newer, newer)):
        assert add_activity(held.activity["bank"], new.activity["bank"]) is None
        assert add_entity(held.entities["e"], new.entities["e"]) is None
        assert add_records(held.records["bank"], new.records["bank"]) is None


def test_what_an_entity_did_adds_up() -> None:
    """Its requests and how many of them failed; the last one is shown."""
    first = tally(learned(0, request(entity="e", code="bad"), request(entity="e"))).entities["e"]
    second = tally(learned(1, request(entity="e", code="worse"))).entities["e"]
    row = add_entity(first, second)
    assert row is not None
    assert (row["requests"], row["failed"], row["code"], row["sequence"]) == (3, 2, "worse", 1)


DECISIONS = [
    learned(i, request(write(f"k{i % 3}", i + 1)), request(entity=f"e{i % 2}", code="x" * (i % 2)))
    for i in range(8)
]

Place = tuple[str, str]


def shown(delivered: Sequence[int]) -> dict[Place, Any]:
    """The rows after decisions were delivered in this order."""
    rows: dict[Place, Any] = {}
    parts: tuple[tuple[str, Callable[[Tally], Any], Callable[[Any, Any], Any]], ...] = (
        ("activity", lambda made: made.activity, add_activity),
        ("entities", lambda made: made.entities, add_entity),
        ("records", lambda made: made.records, add_records),
    )
    for number in delivered:
        for name, part, add in parts:
            for key, new in part(tally(DECISIONS[number])).items():
                row = add(rows.get((name, key)), new)
                if row is not None:
                    rows[name, key] = row
    return rows


@given(st.lists(st.integers(min_value=1, max_value=8), max_size=6))
def test_what_is_delivered_again_changes_nothing(restarts: list[int]) -> None:
    """However often the feed is read again from an earlier place, each decision counts once."""
    delivered: list[int] = []
    reached = 0
    for end in restarts:
        delivered += range(max(0, reached - 3), max(reached, end))
        reached = max(reached, end)
    delivered += range(max(0, reached - 3), 8)
    assert shown(delivered) == shown(range(8))
