"""The child process that runs contracts: `streams.executor` starts it, talks to it, and it ends with it.

1. It bounds itself before it takes the first batch: address space, the stack of the thread that executes,
   and for each call its CPU time, by a timer whose signal ends the process.
2. Whatever goes beyond a bound ends the process, and says nothing: the parent finds out which call it
   was.
3. In a batch with calls of the registry, no call begins with more than half of the memory taken: what judges keys
   must be loaded, and says of a key or a signature that it is bad where it finds no memory.
4. Nothing of its surroundings reaches a result: the parent gives it a fixed environment, and what a
   setting could change is set here.
"""

import os
import resource
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Any

from protocol.contracts.calls import Batch
from protocol.contracts.engine import EXHAUSTION, ExhaustedError, quicken_conversions
from protocol.contracts.execution import Runner
from protocol.contracts.registry import BUILT_IN
from protocol.limits import Limits
from protocol.records import DamagedRecordError, Record, RecordKey
from streams.executor_wire import LENGTH_BYTES, Numbers, answer_frame, parse_batch, parse_rows, read_told
from streams.garbage_collection import collect_rarely

EXHAUSTED_EXIT = 70
INTEGER_DIGITS_MAX = 4300


class _Parent:
    """The parent at the other end of the socket, who has the records."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.numbers = Numbers(())

    def send(self, message: object) -> None:
        self._connection.sendall(answer_frame(message))

    def receive(self) -> Any:  # our own parent's
        length = int.from_bytes(self._read(LENGTH_BYTES), "big")
        return read_told(self._read(length))

    def _read(self, count: int) -> bytes:
        data = self._connection.recv(count, socket.MSG_WAITALL)
        if len(data) < count:
            os._exit(0)  # the parent is gone
        return data

    def _ask(self, *question: object) -> list[tuple[RecordKey, Record]]:
        self.send(question)
        records = parse_rows(self.receive())
        self.numbers.add(records)
        return records

    def record(self, key: RecordKey) -> Record:
        return self._ask("record", key.namespace, key.key)[0][1]

    def scan(self, namespace: str, start: str, end: str, limit: int) -> Sequence[tuple[str, Record]]:
        return [(key.key, record) for key, record in self._ask("scan", namespace, start, end, limit)]

    def versions(self, key: RecordKey, newest: int, count: int) -> Sequence[Record]:
        return [record for _, record in self._ask("versions", key.namespace, key.key, newest, count)]


def _serve(parent: _Parent, limits: Limits) -> None:
    """Execute batches until the parent is gone."""
    cpu_s = limits.contract_cpu_ms / 1000
    runner = Runner(limits)
    begin_bytes = _address_space_bytes()
    half_bytes = begin_bytes + limits.contract_memory_bytes // 2
    bound_bytes = begin_bytes + limits.contract_memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (bound_bytes, bound_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    parent.send(["ready"])
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the engine prints its panics

    def start_timer() -> None:
        signal.setitimer(signal.ITIMER_PROF, cpu_s)

    def begin_call_with_room() -> None:
        if _address_space_bytes() > half_bytes:
            raise MemoryError
        start_timer()

    while True:
        batch = parse_batch(parent.receive())
        parent.numbers = Numbers(batch.records.items())
        begin_call = begin_call_with_room if _calls_registry(batch) else start_timer
        try:
            results = runner.run(batch, parent, begin_call)
            answer = ["done", parent.numbers.result_rows(results)]
        except DamagedRecordError as error:
            answer = ["damaged", error.detail]
        signal.setitimer(signal.ITIMER_PROF, 0)
        parent.send(answer)
        if _address_space_bytes() > half_bytes:
            runner.forget()  # the engine folds constants: a compiled contract may be large


def _calls_registry(batch: Batch) -> bool:
    return any(call.contract in BUILT_IN for call in batch.calls)


def _address_space_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


def _run(parent: _Parent, limits: Limits) -> None:
    try:
        _serve(parent, limits)
    except (ExhaustedError, *EXHAUSTION):
        os._exit(EXHAUSTED_EXIT)
    except OSError:
        os._exit(0)  # the parent is gone
    except BaseException:
        parent.send(["broken", traceback.format_exc()])
        os._exit(1)


def main() -> None:
    """Serve the parent at the socket whose number is the first argument."""
    sys.set_int_max_str_digits(INTEGER_DIGITS_MAX)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's: the parent says when to end
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    quicken_conversions()
    collect_rarely()
    parent = _Parent(socket.socket(fileno=int(sys.argv[1])))
    limits, stack_bytes = parent.receive()
    threading.stack_size(stack_bytes)
    thread = threading.Thread(target=_run, args=(parent, Limits.from_mapping(limits)))
    thread.start()
    thread.join()


if __name__ == "__main__":
    main()
