"""The tables of the live views, and what decisions change in them. Faust's tables come in as arguments.

Rules:

1. Decisions are applied some at a time, and every changed row is written once: what a table costs is writing.
2. Every row takes a sequence once (`streams.views_tally`): a decision delivered again changes nothing.
3. What is kept is bounded: windows expire, and of entities, those active last are kept.
4. How far the tables are is a row, too: many decisions are empty and change no other one, and a process that was
   started again would take itself to be behind until something happens.
5. So is where the feed goes on behind them, by which whoever feeds them sees that something was left out.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from schemas.feed import Learned
from streams.clock import now_ms
from streams.metrics import StageMeter
from streams.percentiles import percentile
from streams.views_pages import KEPT_S
from streams.views_tally import (
    EntityRow,
    NamespaceRow,
    RecordsRow,
    add_activity,
    add_entity,
    add_records,
    tally,
)

ENTITIES_MAX = 10_000
SHOWN = "shown"
"""Key of the row that says how far the tables are."""
NEXT_OFFSET = "next_offset"
"""Key of the row that says where the feed goes on."""

_LATENCIES = 1_000

Row = TypeVar("Row")


class LiveViews:
    """The tables of one ledger.

    Args:
        activity: rows by namespace and window; Faust's wrapper of a windowed table.
        entities: rows by entity.
        records: rows by namespace.
        progress: the last sequence that is in the others, and the feed's next offset.
        ledger_id: decisions of others are skipped.
        meter: counts what is done.
    """

    def __init__(
        self, *, activity: Any, entities: Any, records: Any, progress: Any, ledger_id: bytes, meter: StageMeter
    ) -> None:
        self._activity = activity
        self.activity: Mapping[tuple[str, tuple[float, float]], NamespaceRow] = activity.table
        self.entities: dict[str, EntityRow] = entities
        self.records: dict[str, RecordsRow] = records
        self._progress: dict[str, int] = progress
        self._window = activity.table.window
        self._ledger_id = ledger_id
        self._meter = meter
        self._learned_after_ms: deque[float] = deque(maxlen=_LATENCIES)
        self._shown_after_ms: deque[float] = deque(maxlen=_LATENCIES)
        self._sequence = -1
        self._moved = asyncio.Event()
        for table in (entities, records, progress):
            table.on_recover(self._recovered)

    @property
    def sequence(self) -> int:
        """The last one that is in the tables."""
        return self._sequence

    @property
    def next_offset(self) -> int | None:
        """Offset of the feed behind everything that was shown; None if nothing was."""
        return self._progress.get(NEXT_OFFSET)

    def follow(self, next_offset: int) -> None:
        """Note that the feed was shown up to an offset, this one not included; never less than before."""
        if next_offset > self._progress.get(NEXT_OFFSET, -1):
            self._progress[NEXT_OFFSET] = next_offset

    async def _recovered(self) -> None:
        """Find out how far tables reach that were made again from their changelogs."""
        for rows in (self.entities, self.records):
            self._sequence = max([self._sequence, *(row["sequence"] for row in rows.values())])
        self._sequence = max(self._sequence, self._progress.get(SHOWN, -1))
        if self._sequence >= 0:
            self._meter.report({"gauge_sequence": self._sequence})

    async def reach(self, sequence: int) -> None:
        """Wait until a sequence is in the tables."""
        while self._sequence < sequence:
            await self._moved.wait()

    def show(self, decisions: Sequence[Learned | None]) -> None:
        """Bring decisions into the tables, from within Faust's agent.

        Args:
            decisions: in the order of the feed; None for a message that is none.
        """
        mine = [each for each in decisions if each is not None and each.ledger_id == self._ledger_id]
        self._meter.add("messages_in", len(decisions))
        self._meter.add("skipped", len(decisions) - len(mine))
        now = now_ms()
        activity: dict[tuple[str, tuple[float, float]], NamespaceRow] = {}
        entities: dict[str, EntityRow] = {}
        records: dict[str, RecordsRow] = {}
        for learned in mine:
            new = tally(learned)
            if learned.ordered_at_ms >= now - KEPT_S * 1000:
                minute = self._window.current(learned.ordered_at_ms / 1000)
                for namespace, activity_row in new.activity.items():
                    _join(activity, self.activity, (namespace, minute), activity_row, add_activity)
            for entity, entity_row in new.entities.items():
                _join(entities, self.entities, entity, entity_row, add_entity)
            for namespace, records_row in new.records.items():
                _join(records, self.records, namespace, records_row, add_records)
            self._count(learned, now)
        for (namespace, minute), activity_row in activity.items():
            self._activity[namespace][minute] = activity_row
        self.entities.update(entities)
        self.records.update(records)
        self._forget_entities()
        if self._progress.get(SHOWN, -1) < self._sequence:
            self._progress[SHOWN] = self._sequence  # behind the rows
        self._move()

    def _count(self, learned: Learned, now: int) -> None:
        if learned.sequence > self._sequence:
            self._sequence = learned.sequence
            self._learned_after_ms.append(learned.learned_at_ms - learned.ordered_at_ms)
            self._shown_after_ms.append(now - learned.ordered_at_ms)
            self._meter.add("decisions", 1)
            self._meter.add("shown", len(learned.requests))
            self._meter.report({"gauge_sequence": self._sequence})

    def _forget_entities(self) -> None:
        """Forget a tenth of the entities when there are too many: the ones not heard of the longest."""
        if len(self.entities) > ENTITIES_MAX:
            by_age = sorted(self.entities, key=lambda entity: self.entities[entity]["sequence"])
            for entity in by_age[: ENTITIES_MAX // 10]:
                del self.entities[entity]

    def _move(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    def measure(self) -> None:
        """Report how long decisions took of late, from their order to the learner and to these tables."""
        for name, values in (("learned", self._learned_after_ms), ("shown", self._shown_after_ms)):
            for suffix, fraction in (("p50", 0.5), ("p99", 0.99)):
                found = percentile(values, fraction)
                if found is not None:
                    self._meter.report({f"gauge_{name}_{suffix}_ms": found})


Place = TypeVar("Place", bound=Hashable)


def _join(
    changed: dict[Place, Row],
    held: Mapping[Place, Row],
    key: Place,
    new: Row,
    add: Callable[[Row | None, Row], Row | None],
) -> None:
    """Add a row to what was changed already, else to what is held."""
    row = add(changed[key] if key in changed else held.get(key), new)
    if row is not None:
        changed[key] = row
