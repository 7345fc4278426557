"""Drives the core's generators in a simulated scene: every storage call has a fate of its own, and between any two
effects the others go on.
"""

import random
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from protocol.errors import CountersignError
from storage.tables.errors import TableStoreUnavailableError, UnknownOutcomeError
from storage.transactions.effects import (
    All,
    Apply,
    Chance,
    Clock,
    Describe,
    Effect,
    Open,
    Pull,
    Queue,
    Read,
    Steps,
    StorageCall,
    Wait,
)
from streams.transaction_simulation.agenda import Agenda
from streams.transaction_simulation.planted import Bug
from streams.transaction_simulation.stores import Stores
from streams.transaction_simulation.weather import Fate, Trouble, Weather

EPOCH_MS = 1_700_000_000_000
"""When every simulation begins."""

_TRACE = 60


class Forecast(Protocol):
    """Says what befalls each call."""

    def trouble_of(self, call: StorageCall, by: str) -> Trouble:
        """The trouble of the next call."""
        ...


class Passed(NamedTuple):
    """One storage call, for the trace."""

    now_ms: int
    by: str
    call: object
    trouble: Trouble


class Scene:
    """What all drivers of one simulation share.

    Attributes:
        peace: there are no troubles any more.
        dealt: how often each trouble came.
        trace: the last storage calls.
    """

    def __init__(self, stores: Stores, weather: Weather, rng: random.Random, bug: Bug | None = None) -> None:
        self.agenda = Agenda()
        self.stores = stores
        self.weather = weather
        self.rng = rng
        self.bug = bug
        self.peace = False
        self.dealt: Counter[Trouble] = Counter()
        self.trace: deque[Passed] = deque(maxlen=_TRACE)

    def trouble_of(self, call: StorageCall, by: str) -> Trouble:
        """What the weather has for a call; see `Forecast`."""
        return Trouble.NONE if self.peace else self.weather.draw(self.rng)


class Driver:
    """A process: runs one generator of the core to its end, or until it crashes.

    Args:
        scene: where.
        name: for people, and for the record of changes.
        forecast: what befalls its calls; without it nothing does.
        clock_ms: how far its clock is ahead.
        steps: what it runs.
        ended: told when it has ended, and whether it crashed.
    """

    def __init__(
        self,
        scene: Scene,
        name: str,
        steps: Steps[None],
        *,
        ended: Callable[[bool], None] = lambda crashed: None,
        forecast: Forecast | None = None,
        clock_ms: int = 0,
    ) -> None:
        self.name = name
        self._scene = scene
        self._forecast = forecast
        self._clock_ms = clock_ms
        self._steps = steps
        self._ended = ended
        self._is_over = False

    def start(self) -> None:
        """Run until the first effect that takes time."""
        self._go_on(None)

    def _go_on(self, answer: Any) -> None:
        """Hand the generator its answer, or throw the error that stands in its place, until it waits for something."""
        while True:
            try:
                effect = self._throw_or_send(answer)
            except StopIteration:
                self._end(crashed=False)
                return
            if isinstance(effect, Wait):
                self._scene.agenda.put(max(0, round(effect.wait_ms)), lambda: self._wake(None))
                return
            if isinstance(effect, Read | Pull | Apply | All):
                self._call(effect)
                return
            answer = self._at_once(effect)

    def _throw_or_send(self, answer: Any) -> Effect:
        return self._steps.throw(answer) if isinstance(answer, CountersignError) else self._steps.send(answer)

    def _wake(self, answer: Any) -> None:
        if not self._is_over:
            self._go_on(answer)

    def _end(self, *, crashed: bool) -> None:
        self._is_over = True
        self._steps.close()
        self._ended(crashed)

    def _at_once(self, effect: Effect) -> Any:
        """The answer to an effect that reaches no store."""
        stores = self._scene.stores.stores
        match effect:
            case Clock():
                return EPOCH_MS + self._scene.agenda.now_ms + self._clock_ms
            case Chance():
                return self._scene.rng.random()
            case Open(store=store, scan=scan):
                return stores[store].scan(scan)
            case Describe(store=store, table=table):
                return stores[store].schema(table)
            case Queue():
                return None
            case _:
                raise AssertionError(effect)

    # --- Storage calls ---

    def _call(self, effect: StorageCall | All) -> None:
        if not isinstance(effect, All):
            self._make(effect, self._wake)
            return
        answers: list[Any] = [None] * len(effect.parts)
        open_parts = len(effect.parts)

        def hear(index: int, answer: Any) -> None:
            nonlocal open_parts
            answers[index] = answer
            open_parts -= 1
            if not open_parts:
                self._wake(answers)

        for index, part in enumerate(effect.parts):
            self._make(part, partial(hear, index))

    def _make(self, call: StorageCall, hear: Callable[[Any], None]) -> None:
        """Let a call meet its fate; `hear` is told its answer, or its error."""
        scene = self._scene
        trouble = self._trouble(call)
        fate = scene.weather.fate(trouble, scene.rng)
        scene.dealt[trouble] += 1
        scene.trace.append(Passed(scene.agenda.now_ms, self.name, call, trouble))
        given: list[Any] = []
        by = self.name
        asked = scene.bug.ask(call) if scene.bug else call
        if fate.done_ms is not None and asked is not None and (isinstance(call, Apply) or not fate.gives_up):
            scene.agenda.put(fate.done_ms, lambda: given.append(self._perform(asked, by)))

        def answer() -> None:
            if self._is_over:
                return
            if fate.crashes:
                self._end(crashed=True)
            else:
                told = _error(call, fate) or (given[0] if given else None)
                hear(scene.bug.answer(call, told) if scene.bug else told)

        scene.agenda.put(fate.answered_ms, answer)

    def _trouble(self, call: StorageCall) -> Trouble:
        if self._forecast is None:
            return Trouble.NONE
        if call.store in self._scene.stores.away:
            return self._scene.rng.choice((Trouble.REFUSED, Trouble.LOST))
        return self._forecast.trouble_of(call, self.name)

    def _perform(self, call: StorageCall, by: str) -> Any:
        try:
            return self._scene.stores.perform(call, by)
        except CountersignError as error:
            return error


def _error(call: StorageCall, fate: Fate) -> CountersignError | None:
    """What the caller hears where it hears no answer."""
    if fate.gives_up and isinstance(call, Apply):
        return UnknownOutcomeError("no answer in time")
    if fate.gives_up or fate.refused:
        return TableStoreUnavailableError("away")
    return None
