"""The pages of the live views: what a query selects, in which order, and what it may not ask."""

import pytest

from protocol.errors import CountersignError
from streams.views_pages import (
    ROWS_MAX,
    ActivityKey,
    activity_page,
    entities_page,
    records_page,
    sequence_asked,
    top_page,
)
from streams.views_tally import EntityRow, NamespaceRow, RecordRow, RecordsRow

MINUTE_S = 60.0
NOW_MS = 1_800_000_030_000
THIS_MINUTE_S = 1_800_000_000.0


def namespace_row(requests: int) -> NamespaceRow:
    return NamespaceRow(requests=requests, writes=2 * requests, deletions=0, sequence=9)


def entity_row(requests: int, sequence: int) -> EntityRow:
    return EntityRow(
        requests=requests, failed=0, contract="c", status="ok", code="", sequence=sequence, ordered_at_ms=0
    )


def record_row(version: int, sequence: int) -> RecordRow:
    return RecordRow(
        version=version,
        deleted=False,
        value="1",
        value_bytes=1,
        entity="alice",
        sequence=sequence,
        ordered_at_ms=0,
    )


ENTITIES = {"alice": entity_row(5, 1), "bob": entity_row(2, 3), "carol": entity_row(9, 2)}
RECORDS = {
    "bank": RecordsRow(records={"a": record_row(7, 1), "b": record_row(1, 4)}, sequence=4),
    "shop": RecordsRow(records={"a": record_row(3, 2)}, sequence=2),
}


def activity() -> list[tuple[ActivityKey, NamespaceRow]]:
    def minute(ago: int) -> tuple[float, float]:
        return THIS_MINUTE_S - ago * MINUTE_S, THIS_MINUTE_S - ago * MINUTE_S + 59.9

    return [
        (("shop", minute(0)), namespace_row(1)),
        (("bank", minute(0)), namespace_row(2)),
        (("bank", minute(1)), namespace_row(3)),
        (("bank", minute(9)), namespace_row(4)),
    ]


def test_activity_goes_back_as_far_as_asked_the_oldest_first() -> None:
    """Windows that ended before are left out, though the table still has them."""
    page = activity_page(activity(), {"minutes": "5"}, NOW_MS)
    assert [(row["namespace"], row["requests"]) for row in page["rows"]] == [
        ("bank", 3),
        ("bank", 2),
        ("shop", 1),
    ]
    assert page["rows"][0]["minute_ms"] == int((THIS_MINUTE_S - MINUTE_S) * 1000)
    assert len(activity_page(activity(), {}, NOW_MS)["rows"]) == 4
    assert len(activity_page(activity(), {"minutes": "1"}, NOW_MS)["rows"]) == 3, "a minute that ended within the last"
    full = [((f"n{number}", (THIS_MINUTE_S, THIS_MINUTE_S + 59.9)), namespace_row(1)) for number in range(ROWS_MAX)]
    page = activity_page([*activity(), *full], {}, NOW_MS)
    assert len(page["rows"]) == ROWS_MAX
    assert {row["minute_ms"] for row in page["rows"]} == {int(THIS_MINUTE_S * 1000)}


def test_one_record_or_those_written_last() -> None:
    """A key is found with its namespace only; without one the newest come first."""
    one = records_page(RECORDS, {"namespace": "bank", "key": "a"})
    assert one is not None
    assert (one["namespace"], one["key"], one["version"]) == ("bank", "a", 7)
    assert records_page(RECORDS, {"namespace": "bank", "key": "z"}) is None
    assert records_page(RECORDS, {"namespace": "none", "key": "a"}) is None
    newest = records_page(RECORDS, {"rows": "2"})
    assert newest is not None
    assert [row["sequence"] for row in newest["rows"]] == [4, 2]
    of_bank = records_page(RECORDS, {"namespace": "bank"})
    assert of_bank is not None
    assert {row["namespace"] for row in of_bank["rows"]} == {"bank"}


def test_one_entity_or_those_active_last() -> None:
    """As for records."""
    one = entities_page(ENTITIES, {"entity": "bob"})
    assert one is not None
    assert (one["entity"], one["requests"]) == ("bob", 2)
    assert entities_page(ENTITIES, {"entity": "nobody"}) is None
    page = entities_page(ENTITIES, {})
    assert page is not None
    assert [row["entity"] for row in page["rows"]] == ["bob", "carol", "alice"]


def test_the_top_comes_first() -> None:
    """Entities by their requests, records by their versions."""
    assert [row["entity"] for row in top_page(ENTITIES, RECORDS, {"rows": "2"})["rows"]] == ["carol", "alice"]
    records = top_page(ENTITIES, RECORDS, {"of": "records"})["rows"]
    assert [(row["namespace"], row["version"]) for row in records] == [("bank", 7), ("shop", 3), ("bank", 1)]


@pytest.mark.parametrize("text", ["0", "-1", "1001", "x", "", "1.5", "٣", "9" * 5_000])
def test_a_number_out_of_range_is_refused(text: str) -> None:
    """Whatever a query says, no page is longer than its limit, and no text is taken for a number."""
    with pytest.raises(CountersignError) as refused:
        top_page(ENTITIES, RECORDS, {"rows": text})
    assert refused.value.code == "query.invalid"
    assert len(refused.value.detail) < 100


def test_queries_that_make_no_sense_are_refused() -> None:
    """A key without its namespace, a top of something else, a sequence that is none."""
    for ask in (
        lambda: records_page(RECORDS, {"key": "a"}),
        lambda: top_page(ENTITIES, RECORDS, {"of": "secrets"}),
        lambda: sequence_asked({"wait_for": "soon"}),
        lambda: sequence_asked({"wait_for": "-1"}),
    ):
        with pytest.raises(CountersignError, match=r"query\.invalid"):
            ask()
    assert sequence_asked({}) == -1
    assert sequence_asked({"wait_for": "12"}) == 12
