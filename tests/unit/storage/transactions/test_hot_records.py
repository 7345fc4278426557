"""The queues before hot records are bounded, and what is cooled is never a record at which somebody is."""

import pytest

from storage.model.operations import Key
from storage.model.schema import TableName
from storage.transactions import hot_records
from storage.transactions.hot_records import HotRecords
from storage.transactions.layout import Record

TABLE = TableName("bank", "accounts")


def record(number: int) -> Record:
    return TABLE, Key((number,))


def test_a_million_conflicts_keep_a_bounded_number_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose conflict is the longest ago go; a record with a conflict again counts as new."""
    monkeypatch.setattr(hot_records, "HOT_RECORDS_MAX", 3)
    hot = HotRecords()
    hot.heat(map(record, range(3)))
    hot.heat([record(0)])
    hot.heat([record(3)])
    assert [number for number in range(4) if record(number) in hot] == [0, 2, 3]


def test_a_record_at_which_somebody_is_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has his turn, and whoever waits for it, is not forgotten; afterwards the record can be cooled."""
    monkeypatch.setattr(hot_records, "HOT_RECORDS_MAX", 1)
    hot = HotRecords()
    hot.heat([record(0)])
    woken: list[str] = []
    assert hot.enter("first", record(0), lambda: woken.append("first"))
    assert not hot.enter("second", record(0), lambda: woken.append("second"))
    hot.heat(map(record, range(1, 10)))
    assert record(0) in hot
    hot.leave("first")
    assert woken == ["second"]
    hot.leave("second")
    hot.heat([record(10)])
    assert record(0) not in hot
    assert record(10) in hot
