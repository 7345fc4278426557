"""The tables of the live views: what decisions change in them, and what they know after a restart. Faust's tables are
stand-ins: dictionaries that say when they are recovered.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import streams.views_tables as module
from schemas.feed import Learned, LearnedRequest, LearnedWrite
from streams.metrics import StageMeter
from streams.views_pages import KEPT_S, WINDOW_S
from streams.views_tables import ENTITIES_MAX, LiveViews

LEDGER = bytes(32)
NOW_MS = 1_800_000_000_000
MINUTE = (NOW_MS / 1000 // WINDOW_S * WINDOW_S, NOW_MS / 1000 // WINDOW_S * WINDOW_S + WINDOW_S - 0.1)


class Table(dict[Any, Any]):
    """A table that counts how often each row was written."""

    def __init__(self) -> None:
        super().__init__()
        self.recovered: list[Callable[[], Awaitable[None]]] = []
        self.written: dict[Any, int] = {}

    def on_recover(self, listener: Callable[[], Awaitable[None]]) -> None:
        self.recovered.append(listener)

    def update(self, *arguments: Any, **named: Any) -> None:
        for key in dict(*arguments, **named):
            self.written[key] = self.written.get(key, 0) + 1
        super().update(*arguments, **named)


class Activity:
    """A windowed table: what is written to a row and a window stands under both."""

    def __init__(self) -> None:
        self.table = Table()
        self.table.window = self  # type: ignore[attr-defined]

    def current(self, second: float) -> tuple[float, float]:
        begin = second // WINDOW_S * WINDOW_S
        return begin, begin + WINDOW_S - 0.1

    def __getitem__(self, name: str) -> Any:
        table = self.table

        class Row:
            def __setitem__(self, minute: tuple[float, float], row: Any) -> None:
                table[name, minute] = row

        return Row()


class Views(LiveViews):
    """Views over stand-ins."""

    def __init__(self) -> None:
        self.meter = StageMeter("views")
        self.entity_table, self.record_table, self.progress = Table(), Table(), Table()
        super().__init__(
            activity=Activity(),
            entities=self.entity_table,
            records=self.record_table,
            progress=self.progress,
            ledger_id=LEDGER,
            meter=self.meter,
        )


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> Views:
    monkeypatch.setattr(module, "now_ms", lambda: NOW_MS)
    return Views()


def learned(sequence: int, *entities: str, ordered_at_ms: int = NOW_MS, ledger_id: bytes = LEDGER) -> Learned:
    """A decision in which each entity wrote the record of its name."""
    return Learned(
        ledger_id=ledger_id,
        sequence=sequence,
        ordered_at_ms=ordered_at_ms,
        learned_at_ms=ordered_at_ms + 5,
        requests=tuple(
            LearnedRequest(bytes(32), entity, "put", "ok", "", (LearnedWrite("bank", entity, 1, False, b"1"),))
            for entity in entities
        ),
    )


def test_several_decisions_at_once(views: Views) -> None:
    """All of them count, and a row that they change is written once; nothing of another ledger, nor of no message."""
    views.show(
        [learned(0, "a", "b"), None, learned(9, "c", ledger_id=bytes(31) + b"x"), learned(1, "a"), learned(2, "a")]
    )
    assert {name: row["requests"] for name, row in views.entities.items()} == {"a": 3, "b": 1}
    assert views.entity_table.written == {"a": 1, "b": 1}
    assert views.activity["bank", MINUTE]["requests"] == 4
    assert list(views.records["bank"]["records"]) == ["b", "a"]
    assert views.sequence == 2
    assert (views.meter.values["messages_in"], views.meter.values["skipped"]) == (5, 2)
    assert (views.meter.values["decisions"], views.meter.values["shown"]) == (3, 4)


def test_what_comes_again(views: Views) -> None:
    """It changes nothing, and the views stay as far as they were."""
    views.show([learned(0, "a"), learned(1, "a")])
    views.show([learned(0, "a"), learned(1, "a")])
    assert views.entities["a"]["requests"] == 2
    assert views.activity["bank", MINUTE]["requests"] == 2
    assert views.sequence == 1
    assert views.meter.values["decisions"] == 2


def test_what_is_too_old_for_its_minute(views: Views) -> None:
    """It is no activity any more, for its window would never end; the record and the entity are shown."""
    views.show([learned(0, "a", ordered_at_ms=NOW_MS - KEPT_S * 1000 - 1)])
    assert not views.activity
    assert (views.entities["a"]["requests"], list(views.records["bank"]["records"])) == (1, ["a"])


def test_entities_are_bounded(views: Views) -> None:
    """Those not heard of for the longest are forgotten."""
    views.show([learned(number, f"e{number}") for number in range(ENTITIES_MAX)])
    assert len(views.entities) == ENTITIES_MAX
    views.show([learned(ENTITIES_MAX, "e0", "new")])
    assert len(views.entities) == ENTITIES_MAX + 1 - ENTITIES_MAX // 10
    assert {"e0", "new", f"e{ENTITIES_MAX - 1}"} <= views.entities.keys()
    assert "e1" not in views.entities


def test_a_restart_knows_how_far_its_tables_are(views: Views) -> None:
    """From whatever table reaches farthest; each says when it is recovered."""
    views.entities["a"] = {"sequence": 7}  # type: ignore[typeddict-item]
    views.records["bank"] = {"records": {}, "sequence": 9}
    recover(views)
    assert views.sequence == 9


def recover(views: Views) -> None:
    """Say that every table was made again."""
    for table in (views.entity_table, views.record_table, views.progress):
        [listener] = table.recovered
        asyncio.run(listener())  # type: ignore[arg-type]


def test_a_restart_knows_of_decisions_that_changed_no_row(views: Views) -> None:
    """Empty ones: who started again and said nothing of them would be suspected to lag, until something happens."""
    views.show([learned(0, "a")])
    views.show([learned(1), learned(2)])
    again = Views()
    for table, held in (
        (again.entity_table, views.entity_table),
        (again.record_table, views.record_table),
        (again.progress, views.progress),
    ):
        table |= held
    recover(again)
    assert again.sequence == 2
    assert again.meter.values["gauge_sequence"] == 2


def test_views_without_anything_say_nothing(views: Views) -> None:
    """There is no sequence -1."""
    recover(views)
    assert "gauge_sequence" not in views.meter.values


def test_a_sequence_is_waited_for(views: Views) -> None:
    """Until it is in the tables, however many decisions come before."""

    async def wait() -> list[int]:
        reached: list[int] = []

        async def reach() -> None:
            await views.reach(2)
            reached.append(views.sequence)

        waiting = asyncio.create_task(reach())
        for sequence in range(3):
            await asyncio.sleep(0)
            assert not reached
            views.show([learned(sequence, "a")])
        await asyncio.wait_for(waiting, 5)
        return reached

    assert asyncio.run(wait()) == [2]


def test_how_long_decisions_took(views: Views) -> None:
    """From their order to the learner, and to these tables; nothing before the first."""
    views.measure()
    assert not views.meter.values
    views.show([learned(0, "a", ordered_at_ms=NOW_MS - 100)])
    views.measure()
    assert views.meter.values["gauge_learned_p50_ms"] == 5
    assert views.meter.values["gauge_shown_p99_ms"] == 100
