"""Executes batches in a child process that may be killed by any contract, without harm to the party.

1. A batch goes to the child as a whole. If the child dies over it, the calls are executed again one by
   one, each over what those before it wrote, in a new child after each death: the calls that kill it even
   so are rejected as `contract.resources`.
2. A death counts against a call when it ran out of its CPU time, or when a new child ran out of memory or
   stack. When the child had served others before, or was killed from outside, by us after too long a
   silence or by anybody else, the call is tried again, three times in all.
3. Bounds are those of the limits times `scale`: 1 for the Auditor, `resources_factor` for the Ledger,
   which so never meets a bound that the Auditor did not meet before anything was ordered.
4. The child gets a fixed environment, a socket, and nothing else of its parent's; when the parent is
   gone, so is the child.
"""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from protocol.contracts.calls import Batch, Execution, Fetch, Rejected
from protocol.contracts.execution import Runner, bytes_in_decision
from protocol.contracts.overlay import Overlay
from protocol.limits import Limits
from protocol.records import DamagedRecordError, Record, RecordKey
from streams.executor_child import EXHAUSTED_EXIT
from streams.executor_wire import (
    FRAME_BYTES_MAX,
    LENGTH_BYTES,
    Results,
    batch_message,
    read_answer,
    record_rows,
    told_frame,
)

STACK_BYTES = 64 * 1024 * 1024
"""Stack of the thread that executes, times the scale."""

START_S = 30
"""How long a child may take until it is ready."""

SILENCE_FACTOR = 5
"""How many times a call's CPU time a child may be silent, by the clock on the wall."""

TRIES_MAX = 3

_ROOT = Path(__file__).resolve().parent.parent
_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",  # every further arena would take 64 MiB of address space
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONPATH": str(_ROOT),
    "RUST_BACKTRACE": "0",
}
_OWN_DEATHS = frozenset((EXHAUSTED_EXIT, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL))

Result = Execution | Rejected


class ExecutorError(Exception):
    """The executor cannot do its work: a bug, or no child can be started. Ours; crash loudly."""


class BatchExecutor(Protocol):
    """Executes batches; for one thread at a time."""

    def run(self, batch: Batch, fetch: Fetch) -> tuple[Result, ...]:
        """Execute a batch.

        Args:
            batch: its requests' signatures, times and arguments have been checked.
            fetch: for the records that the batch does not bring along; what it raises ends the run.

        Returns:
            A result for each call, or for the first ones if the batch had to be closed.

        Raises:
            DamagedRecordError: a record does not have its hash.
            ExecutorError: the executor is broken.
        """
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class InProcessExecutor:
    """Executes in this process: for contracts that are trusted, in tests and in the simulation.

    Out of memory or stack it takes the process with it.
    """

    def __init__(self, limits: Limits, *, scale: int = 1) -> None:
        self._runner = Runner(_scaled(limits, scale))

    def run(self, batch: Batch, fetch: Fetch) -> tuple[Result, ...]:
        """Execute a batch, see `BatchExecutor.run`."""
        return self._runner.run(batch, fetch)

    def close(self) -> None:
        """Give back the engine; nothing can be executed any more."""
        self._runner.close()


class _ChildDiedError(Exception):
    """The child ended over a batch: with this exit status, negative for a signal."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def is_due_to(self, *, new_child: bool) -> bool:
        """Whether the call that was executed alone is to blame: time is its own, memory may be others'."""
        return self.status == -signal.SIGPROF or (new_child and self.status in _OWN_DEATHS)


class _Child:
    """A child process that takes batches."""

    def __init__(self, limits: Limits, stack_bytes: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "streams.executor_child", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                cwd="/",
            )
        self.pid = self._process.pid
        self._socket = ours
        self._socket.settimeout(START_S)
        try:
            self.send((limits.to_mapping(), stack_bytes))
            answer = self.receive()
            if answer != ["ready"]:
                raise ExecutorError(f"the child does not start as it should: {answer}")
            self._socket.settimeout(SILENCE_FACTOR * limits.contract_cpu_ms / 1000)
        except BaseException:
            self.close()
            raise

    def send(self, message: object) -> None:
        """Send a message.

        Raises:
            _ChildDiedError: it is no longer there, or silent for too long.
        """
        try:
            self._socket.sendall(told_frame(message))
        except OSError:
            raise self._died() from None

    def receive(self) -> Any:  # JSON of the child
        """Receive a message.

        Raises:
            _ChildDiedError: it is no longer there, or silent for too long.
        """
        try:
            length = int.from_bytes(self._read(LENGTH_BYTES), "big")
            return read_answer(self._read(min(length, FRAME_BYTES_MAX)))
        except (OSError, ValueError):
            raise self._died() from None

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def _read(self, count: int) -> bytearray:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            received = self._socket.recv_into(view)
            if received == 0:
                raise ConnectionError
            view = view[received:]
        return data

    def _died(self) -> _ChildDiedError:
        """End the process if it is silent, and say how it ended."""
        try:
            self._process.wait(timeout=0.5 if self._socket_is_closed() else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
        return _ChildDiedError(self._process.wait())

    def _socket_is_closed(self) -> bool:
        self._socket.setblocking(False)  # while it has a time-out, even MSG_DONTWAIT waits for all of it
        try:
            return self._socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


class Executor:
    """Executes in a child process, which it starts when there is work and none is there."""

    def __init__(self, limits: Limits, *, scale: int = 1) -> None:
        """Make an executor.

        Args:
            limits: of the epoch.
            scale: how much wider the bounds of steps, memory, stack and CPU time are.
        """
        self._limits = _scaled(limits, scale)
        self._stack_bytes = STACK_BYTES * scale
        self._child: _Child | None = None

    @property
    def child_pid(self) -> int | None:
        """Process id of the child, if there is one."""
        return None if self._child is None else self._child.pid

    def run(self, batch: Batch, fetch: Fetch) -> tuple[Result, ...]:
        """Execute a batch, see `BatchExecutor.run`."""
        try:
            return self._attempt(batch, fetch)
        except _ChildDiedError:
            return self._run_one_by_one(batch, fetch)

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _attempt(self, batch: Batch, fetch: Fetch) -> tuple[Result, ...]:
        """Give a batch to the child."""
        try:
            if self._child is None:
                self._child = self._start()
            return _converse(self._child, batch, fetch)
        except DamagedRecordError:
            raise
        except BaseException:
            self.close()  # whatever it is doing, nobody waits for it
            raise

    def _start(self) -> _Child:
        for _ in range(TRIES_MAX):
            try:
                return _Child(self._limits, self._stack_bytes)
            except _ChildDiedError:
                continue
        raise ExecutorError("no child process can be started")

    def _run_one_by_one(self, batch: Batch, fetch: Fetch) -> tuple[Result, ...]:
        overlay = Overlay(batch.ledger_id, fetch, batch.records)
        results: list[Result] = []
        index = batch.first_index
        room = self._limits.batch_output_bytes
        for call in batch.calls:
            alone = replace(batch, calls=(call,), records={}, first_index=index)
            result = self._run_alone(alone, overlay)
            if isinstance(result, Execution):
                room -= bytes_in_decision(result, self._limits)
                if room < 0 and results:
                    break
                index += 1
                for write in result.writes:
                    overlay.write(RecordKey(write.namespace, write.key), write.record)
            results.append(result)
        return tuple(results)

    def _run_alone(self, batch: Batch, fetch: Fetch) -> Result:
        for _ in range(TRIES_MAX):
            is_new = self._child is None
            try:
                return self._attempt(batch, fetch)[0]
            except _ChildDiedError as death:
                if death.is_due_to(new_child=is_new):
                    break
        return Rejected(code="contract.resources", final=True)


def _converse(child: _Child, batch: Batch, fetch: Fetch) -> tuple[Result, ...]:
    """Give a batch to a child, answer its questions, and take its results."""
    results = Results(batch)
    child.send(batch_message(batch))
    while True:
        match child.receive():
            case ["done", rows]:
                try:
                    return results.parse(rows)
                except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
                    raise ExecutorError("the child answers nonsense") from error
            case ["damaged", text]:
                raise DamagedRecordError(text)
            case ["broken", text]:
                raise ExecutorError(text)
            case question:
                answer = _answer(question, fetch)
                results.add(answer)
                child.send(record_rows(answer))


def _answer(question: Any, fetch: Fetch) -> Iterable[tuple[RecordKey, Record]]:  # JSON of the child
    match question:
        case ["record", str(namespace), str(key)]:
            where = RecordKey(namespace, key)
            return [(where, fetch.record(where))]
        case ["scan", str(namespace), str(start), str(end), int(limit)]:
            rows = fetch.scan(namespace, start, end, limit)
            return [(RecordKey(namespace, key), record) for key, record in rows]
        case ["versions", str(namespace), str(key), int(newest), int(count)]:
            where = RecordKey(namespace, key)
            return [(where, record) for record in fetch.versions(where, newest, count)]
        case _:
            raise ExecutorError("the child asks nonsense")


def _scaled(limits: Limits, scale: int) -> Limits:
    """Limits with wider bounds of exhaustion; those that decide an outcome stay."""
    return replace(
        limits,
        contract_steps=limits.contract_steps * scale,
        contract_memory_bytes=limits.contract_memory_bytes * scale,
        contract_cpu_ms=limits.contract_cpu_ms * scale,
    )
