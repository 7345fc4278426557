"""The stage loop: hosts one machine in one thread, and does for it what it asks for.

Rules:

1. `event = perform(effect); effect = machine.step(event)`, until the machine halts or the stage is to stop.
2. A stop is clean where it can be: the stage goes on to the machine's next wait (`Receive`, `Await`), when
   everything that was begun is stored, signed and sent. After `drain_s` it ends wherever it is: a machine may
   be dropped at any point, for the next one loads what there is.
3. A machine whose `Apply` was left open is dropped, and a new one made.
4. Where another machine follows on one that has done its work, its halt is an end, and nobody's trouble.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from protocol.errors import CountersignError
from storage.effects import Await, Effect, Event, Halt, Receive, Started
from storage.errors import StoreUnavailableError
from storage.events import Executed, Received
from storage.machine import Stepped
from streams.metrics import StageMeter
from streams.performer import EffectPerformer, Ports, StoppedError
from streams.stop_signal import StopSignal

__all__ = ["Stage", "StopSignal", "run_stages"]

_REBIRTH_FIRST_S = 0.05
_REBIRTH_S_MAX = 5.0

_STEPS: Mapping[type[Event], str] = {Received: "decode", Executed: "encode"}
"""What a machine's step mostly does, by the event that it takes: it opens what came in, or makes leaves, roots and
messages of what was executed."""

Given = TypeVar("Given")
Done = TypeVar("Done")

_log = logging.getLogger("countersign.stage")


class Stage:
    """One machine and its world.

    Args:
        make_machine: gives a new machine that knows nothing.
        ports: its world.
        meter: its counters, named after the stage.
        ends: codes of halts after which the process goes on with another machine.
    """

    def __init__(
        self,
        make_machine: Callable[[], Stepped],
        ports: Ports,
        meter: StageMeter,
        ends: frozenset[str] = frozenset(),
    ) -> None:
        self.name = meter.stage
        self._make_machine = make_machine
        self._ports = ports
        self._meter = meter
        self._ends = ends
        self._performer = EffectPerformer(ports, meter)

    def run(self) -> Halt | None:
        """Run until the machine halts, which is returned, or the stage is told to stop (None).

        Raises:
            Exception: a bug of ours; nothing is caught that is not understood.
        """
        pause_s = _REBIRTH_FIRST_S
        try:
            while True:
                applied_before = self._meter.values.get("Apply.count", 0)
                try:
                    return self._live()
                except StoreUnavailableError as error:
                    _log.warning("%s: %s: %s; starting over", self.name, error.code, error.detail)
                    self._meter.add("restarts", 1)
                    if self._meter.values.get("Apply.count", 0) > applied_before:
                        pause_s = _REBIRTH_FIRST_S
                if self._ports.stop.wait(pause_s):
                    return None
                pause_s = min(2 * pause_s, _REBIRTH_S_MAX)
                self._performer.await_store()
        except StoppedError:
            return None
        except CountersignError as error:
            return self._halted(Halt(code=error.code, text=error.detail))

    def close(self) -> None:
        """Give back its connections to the log; for a stage that another one follows in the same process."""
        self._ports.reader.close()
        self._ports.writer.close()

    def _live(self) -> Halt | None:
        """One machine's life."""
        machine = self._make_machine()
        event: Event = Started(now_ms=self._ports.now_ms())
        while True:
            effect = self._timed(_STEPS.get(type(event), "step"), machine.step, event)
            if isinstance(effect, Halt):
                return self._halted(effect)
            if self._is_to_stop(effect):
                return None
            event = self._timed(type(effect).__name__, self._performer.perform, effect)

    def _is_to_stop(self, effect: Effect) -> bool:
        stop = self._ports.stop
        return stop.requested and (isinstance(effect, Receive | Await) or stop.overdue)

    def _timed(self, what: str, work: Callable[[Given], Done], argument: Given) -> Done:
        wall, cpu = time.perf_counter(), time.thread_time()
        done = work(argument)
        self._meter.took(what, time.perf_counter() - wall, time.thread_time() - cpu)
        return done

    def _halted(self, halt: Halt) -> Halt:
        if halt.code in self._ends:
            _log.info("%s: %s: %s; going on", self.name, halt.code, halt.text)
            self._meter.add(f"ended.{halt.code}", 1)
        else:
            _log.error("%s: halted: %s: %s", self.name, halt.code, halt.text)
            self._meter.add(f"halted.{halt.code}", 1)
        return halt


def run_stages(stages: Sequence[Stage], stop: StopSignal) -> Halt | None:
    """Run stages in a thread each, until all have ended; one that halts or crashes ends the others.

    Returns:
        The first halt, if there was one.

    Raises:
        Exception: what the first stage that crashed raised.
    """
    halts: list[Halt] = []
    crashes: list[BaseException] = []

    def run(stage: Stage) -> None:
        try:
            halt = stage.run()
            if halt is not None:
                halts.append(halt)
        except BaseException as crash:  # raised again below, in the thread that asked
            crashes.append(crash)
        finally:
            stop.request()

    threads = [threading.Thread(target=run, args=(stage,), name=stage.name) for stage in stages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if crashes:
        raise crashes[0]
    return halts[0] if halts else None
