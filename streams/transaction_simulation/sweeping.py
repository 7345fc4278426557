"""A process that sweeps again and again, and dies in between like any other."""

from protocol.errors import CountersignError
from storage.transactions.effects import Steps, Wait
from storage.transactions.record_reader import World
from storage.transactions.sweeper import Sweeper
from storage.transactions.table_sweeper import TableSweeper
from streams.transaction_simulation.driver import Driver, Scene
from streams.transaction_simulation.tables import SCHEMAS


class SweepingProcess:
    """One sweeper, there for as long as there are troubles.

    Args:
        name: for people.
        scene: where it lives.
        manager: of its process.
        pause_ms: between two rounds.
        clock_ms: how far its clock is ahead.
        records_max: how many prepared records it settles in a round that looks through the tables; None: it does not.

    Attributes:
        removed: rows of the coordinator that it collected.
        abandoned: records that it found prepared, and settled.
    """

    def __init__(
        self, name: str, scene: Scene, manager: World, pause_ms: int, clock_ms: int, records_max: int | None
    ) -> None:
        self.removed = 0
        self.abandoned = 0
        self._records_max = records_max
        self._name = name
        self._scene = scene
        self._manager = manager
        self._pause_ms = pause_ms
        self.clock_ms = clock_ms

    def start(self) -> None:
        """Begin to sweep, or again after a crash."""
        driver = Driver(
            self._scene, self._name, self._life(), ended=self._ended, forecast=self._scene, clock_ms=self.clock_ms
        )
        driver.start()

    def _ended(self, crashed: bool) -> None:
        if crashed:
            self._scene.agenda.put(self._pause_ms, self.start)

    def _life(self) -> Steps[None]:
        while not self._scene.peace:
            yield Wait(self._pause_ms)
            try:
                swept = yield from Sweeper(self._manager).sweep()
                self.removed += swept.removed
                if self._records_max is not None:
                    self.abandoned += yield from TableSweeper(self._manager, self._records_max).sweep(SCHEMAS)
            except CountersignError:
                continue
