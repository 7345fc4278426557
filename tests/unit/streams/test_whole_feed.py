"""Whatever is not handed over of the feed is read beside it, in its place; what the log has no more is said. Views are
stand-ins that note what they are shown.
"""

import asyncio
import logging
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

import streams.whole_feed as module
from schemas.topics import LEARNED
from storage.effects import Outgoing
from streams.memory_log import MemoryLog
from streams.whole_feed import WholeFeed


class Views:
    """Note what they are shown, and how far."""

    def __init__(self) -> None:
        self.shown: list[Any] = []
        self.next_offset: int | None = None

    def show(self, decisions: Sequence[Any]) -> None:
        self.shown += decisions

    def follow(self, next_offset: int) -> None:
        self.next_offset = next_offset


class World:
    """A feed of messages that say their own offsets."""

    def __init__(self, messages: int) -> None:
        self.views = Views()
        self.log = MemoryLog({LEARNED: 1})
        self.log.writer().send([Outgoing(LEARNED, 0, None, b"%d" % offset) for offset in range(messages)])
        self.opened = 0
        self.feed = WholeFeed(self.views, int, self.open)  # type: ignore[arg-type]

    def open(self) -> Any:
        self.opened += 1
        return self.log.reader()

    def deliver(self, *offsets: int) -> None:
        asyncio.run(self.feed.show([(offset, offset) for offset in offsets]))  # type: ignore[misc]

    def look(self, end: int | None) -> None:
        asyncio.run(self.feed.look(end))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RECEIVE_MS", 1)


@pytest.mark.parametrize("delivered", [[(0, 1, 2), (3, 4)], [(2, 3), (4,)], [(0,), (1, 1, 2, 1, 2, 3), (4,)]])
def test_nothing_is_read_beside_a_feed_without_gaps(delivered: list[tuple[int, ...]]) -> None:
    """Wherever it begins, and also where something comes again; that is shown again."""
    world = World(5)
    for offsets in delivered:
        world.deliver(*offsets)
    assert world.views.shown == [offset for offsets in delivered for offset in offsets]
    assert (world.views.next_offset, world.opened) == (5, 0)


@pytest.mark.parametrize(
    ("delivered", "shown"),
    [
        ([(0, 1), (3, 4)], [0, 1, 2, 3, 4]),
        ([(0, 1, 3, 5)], [0, 1, 2, 3, 4, 5]),
        ([(0,), (99,)], [*range(100)]),
        ([(0, 1), (4, 2, 5)], [0, 1, 2, 3, 4, 2, 5]),
        ([(1,), (3, 3, 4)], [1, 2, 3, 3, 4]),
    ],
)
def test_what_was_left_out_is_shown_in_its_place(delivered: list[tuple[int, ...]], shown: list[int]) -> None:
    """Between two deliveries or within one, one message or many, once or twice."""
    world = World(100)
    for offsets in delivered:
        world.deliver(*offsets)
    assert world.views.shown == shown
    assert world.views.next_offset == max(shown) + 1


def test_a_gap_is_found_after_a_restart() -> None:
    """The views know how far they are; what was committed for them may be more."""
    world = World(10)
    world.views.next_offset = 4
    world.deliver(6, 7)
    assert world.views.shown == [4, 5, 6, 7]


def test_what_was_dropped_last_is_shown_though_nothing_comes_behind_it() -> None:
    """Once nothing has moved between two looks; a feed that moves is left to move."""
    world = World(5)
    world.look(5)
    world.look(5)
    assert world.views.shown == []  # its beginning is Faust's
    world.deliver(0, 1)
    world.look(5)
    world.deliver(2)
    world.look(5)
    assert world.views.shown == [0, 1, 2]
    world.look(None)
    world.look(5)
    assert world.views.shown == [0, 1, 2, 3, 4]
    assert world.views.next_offset == 5
    world.look(5)
    assert world.opened == 1


def test_a_tail_that_is_lost_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """Offsets that nobody can read: the log ends before them."""
    world = World(5)
    world.deliver(0, 1, 2)
    world.deliver(7)
    assert world.views.shown == [0, 1, 2, 3, 4, 7]
    assert "messages 5 to 6 of the feed are gone" in caplog.text


def test_a_start_that_expired_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """What is left is shown."""
    world = World(10)
    world.deliver(0, 1)
    world.log.expire(LEARNED, 0, 6)
    world.deliver(8)
    assert world.views.shown == [0, 1, 6, 7, 8]
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.ERROR]


def test_a_log_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long: nothing is given up that may still be read."""
    world = World(5)
    world.deliver(0)
    reader = world.log.reader()
    asked = iter(range(2 * module._SILENT_MAX))

    def seek(positions: Any) -> None:
        world.log.away = next(asked) < module._SILENT_MAX  # not even this can be done
        reader.seek(positions)
        world.log.away = True

    def receive(*arguments: Any) -> Any:
        world.log.away = next(asked, None) is not None
        return reader.receive(*arguments)

    def unreachable_ms() -> int:
        return 1 if world.log.away else 0

    away = SimpleNamespace(seek=seek, receive=receive, close=reader.close, unreachable_ms=unreachable_ms)
    monkeypatch.setattr(world.feed, "_open_reader", lambda: away)
    world.deliver(4)
    assert world.views.shown == [0, 1, 2, 3, 4]
