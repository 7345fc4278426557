"""The live views' feed, whole: what Faust does not hand over is read beside it.

Rules:

1. Where its consumer group is rebalanced (after a pause of the machine, say), Faust drops messages that it had in
   hand, one or many, goes on behind them and commits them. So their offsets are watched: a feed has no gaps.
2. Where the feed goes on is noted with the views (`LiveViews.next_offset`): a gap is found after a restart, too.
3. Behind what was dropped last nothing may come for long: where nothing moves, the log's end is looked at.
4. What comes a second time is shown a second time: rows take a sequence once.
5. What the log has no more is not waited for: it is said, and left out.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing

from schemas.feed import Learned
from schemas.topics import LEARNED
from storage.effects import Message, Position
from streams.log import LogReader, LogStartLostError, LogUnavailableError
from streams.views_tables import LiveViews

_AT_ONCE = 32
"""A decision may be megabytes."""
_RECEIVE_MS = 500
_SILENT_MAX = 20
"""After so many empty answers of a broker that is there, there is nothing more to be had."""

_log = logging.getLogger("countersign.views")


class WholeFeed:
    """Shows the feed, without gaps.

    Args:
        views: to which it is shown.
        decode: a decision out of a message; None out of one that is none.
        open_reader: gives a reader of its own for each gap.
    """

    def __init__(
        self, views: LiveViews, decode: Callable[[bytes], Learned | None], open_reader: Callable[[], LogReader]
    ) -> None:
        self._views = views
        self._decode = decode
        self._open_reader = open_reader
        self._one_at_a_time = asyncio.Lock()
        self._looked_at: int | None = None

    async def show(self, delivered: Sequence[tuple[int, Learned | None]]) -> None:
        """Show what was delivered, each with its offset, and before it what was left out.

        Waits for a broker that is away.
        """
        async with self._one_at_a_time:
            await self._show(delivered)

    async def look(self, end: int | None) -> None:
        """Show what is there, if nothing was since the last look.

        Args:
            end: the log's, as far as it is known.
        """
        async with self._one_at_a_time:
            following = self._views.next_offset
            has_moved, self._looked_at = following != self._looked_at, following
            if not has_moved and following is not None and end is not None and following < end:
                await self._fill(following, end)
                self._views.follow(end)

    async def _show(self, delivered: Sequence[tuple[int, Learned | None]]) -> None:
        views, in_hand = self._views, list[Learned | None]()
        following = views.next_offset
        for offset, decision in delivered:
            if following is not None and offset > following:
                views.show(in_hand)
                in_hand = []
                await self._fill(following, offset)
            in_hand.append(decision)
            following = max(offset + 1, following or 0)
        views.show(in_hand)
        if following is not None:
            views.follow(following)

    async def _fill(self, first: int, end: int) -> None:
        """Show the messages from offset `first` up to `end`, this one not included."""
        _log.warning("messages %d to %d of the feed were not delivered: reading them beside it", first, end - 1)
        with closing(self._open_reader()) as reader:
            async for messages in _messages(reader, first, end):
                self._views.show([self._decode(message.value or b"") for message in messages])


async def _messages(reader: LogReader, first: int, end: int) -> AsyncIterator[Sequence[Message]]:
    """Read from `first` on until `end` is reached, or the log has nothing more."""
    following, silent, is_there = first, 0, False
    while following < end and silent < _SILENT_MAX:
        try:
            if not is_there:
                reader.seek([Position(LEARNED, 0, following)])
                is_there = True
            messages, alarms = await asyncio.to_thread(reader.receive, (LEARNED,), _AT_ONCE, _RECEIVE_MS)
        except LogStartLostError as lost:
            _log.error("%s: what is missing is in no live view", lost)
            following, is_there = lost.first_offset, False
            continue
        except LogUnavailableError:
            await asyncio.sleep(_RECEIVE_MS / 1000)
            continue
        if alarms:
            break
        if messages:
            silent, following = 0, messages[-1].offset + 1
            yield [message for message in messages if message.offset < end]
        elif not reader.unreachable_ms():
            silent += 1
    if following < end:
        _log.error("messages %d to %d of the feed are gone, and in no live view", following, end - 1)
