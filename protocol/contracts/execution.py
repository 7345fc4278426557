"""Execution of a batch: each call in its order, over what the calls before it wrote.

1. Every result is a function of the batch and the records, alike on every machine. Outcomes carry stable
   codes and texts given to `fail`, nothing of the engine's.
2. The key of the entity must be there and active, and the contract be registered; otherwise the call is
   rejected. A request names the version of its contract.
3. A failed call writes nothing and keeps its reads. A call that runs out of steps is rejected.
4. Memory, stack and time are not judged here: `ExhaustedError` leaves `execute`, and the process that
   runs it should end.
5. The batch is closed before the first call whose results, with those before it, would exceed
   `batch_output_bytes`; at least one call is executed. This counts all that a decision holds beside envelopes, so
   that messages stay bounded.
"""

from collections.abc import Callable
from contextlib import closing

from protocol.contracts.calls import Batch, Call, Execution, Fetch, Rejected
from protocol.contracts.host import Contract, Host, OutOfStepsError
from protocol.contracts.names import contract_key, is_name, public_key_key
from protocol.contracts.overlay import Overlay
from protocol.contracts.registry import BUILT_IN, RegistryCall
from protocol.contracts.transaction import CallFailed, Transaction, canonical
from protocol.json_text import read_json
from protocol.limits import READ_BYTES, REQUEST_BYTES, ROW_BYTES, SCAN_BYTES, WRITE_BYTES, Limits
from protocol.records import RecordKey


def execute(batch: Batch, fetch: Fetch, limits: Limits) -> tuple[Execution | Rejected, ...]:
    """Execute a batch once, see `Runner.run`."""
    with closing(Runner(limits)) as runner:
        return runner.run(batch, fetch)


class Runner:
    """Executes batches, for one thread at a time. Between them it keeps compiled contracts only."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._host = Host(limits)

    def forget(self) -> None:
        """Drop the compiled contracts."""
        self._host.forget()

    def close(self) -> None:
        """Give back the engine: its memory stays taken otherwise, even where nobody has the runner any more."""
        self._host.close()

    def run(
        self, batch: Batch, fetch: Fetch, before_call: Callable[[], object] | None = None
    ) -> tuple[Execution | Rejected, ...]:
        """Execute a batch.

        Args:
            batch: its requests' signatures, times and arguments have been checked.
            fetch: for the records that the batch does not bring along.
            before_call: called before each call.

        Returns:
            A result for each call, or for the first ones if the batch had to be closed.

        Raises:
            DamagedRecordError: a record does not have its hash.
            ExhaustedError: out of memory or stack.
        """
        overlay = Overlay(batch.ledger_id, fetch, batch.records)
        running = _RunningBatch(batch, overlay, self._host, self._limits)
        results: list[Execution | Rejected] = []
        index = batch.first_index
        room = self._limits.batch_output_bytes
        for call in batch.calls:
            if before_call is not None:
                before_call()
            result = running.result(call, index)
            if isinstance(result, Execution):
                room -= bytes_in_decision(result, self._limits)
                if room < 0 and results:
                    break
                index += 1
            results.append(result)
        return tuple(results)


class _RunningBatch:
    """A batch under way."""

    def __init__(self, batch: Batch, overlay: Overlay, host: Host, limits: Limits) -> None:
        self._batch = batch
        self._overlay = overlay
        self._host = host
        self._limits = limits
        self._places: dict[tuple[str, int, object], RecordKey] = {}

    def result(self, call: Call, index: int) -> Execution | Rejected:
        """Execute the next call."""
        batch = self._batch
        transaction = Transaction(self._overlay, self._limits)
        self._host.begin(self._overlay, transaction, call.entity, batch.ordered_at_ms)
        code, text, output = "", "", b""
        try:
            contract = self._admit(call, transaction)
            if isinstance(contract, str):
                return Rejected(code=contract, final=True, reads=transaction.reads())
            output = self._output(call, contract, transaction)
            if len(output) + transaction.output_bytes() > self._limits.request_output_bytes:
                raise CallFailed("contract.output_too_large")
        except CallFailed as failure:
            code, text, output = failure.code, failure.text, b""
        except OutOfStepsError:
            return Rejected(code="contract.resources", final=True, reads=transaction.reads())
        reads = transaction.reads()
        writes = () if code else transaction.apply(batch.ledger_id, call.request_id, batch.sequence, index)
        scans = tuple(transaction.scans)
        return Execution(index, "failed" if code else "ok", code, text, output, reads, scans, writes)

    def _admit(self, call: Call, transaction: Transaction) -> Contract | str:
        """The contract of a call, or the code why it is rejected."""
        place = self._place(call.entity, call.key_version, public_key_key)
        if place is None:
            return "entity.unknown"
        key = transaction.record(place)
        if key.version == 0:
            return "entity.unknown"
        if key.deleted or self._overlay.parsed(key)["status"] != "active":
            return "entity.key_revoked"
        place = self._place(call.contract, call.contract_version, contract_key)
        if place is None:
            return "contract.unknown"
        contract = transaction.record(place)
        return "contract.unknown" if contract.deleted else self._host.load(call.contract, place, contract)

    def _place(self, name: str, version: int, key: Callable[[str, int], RecordKey]) -> RecordKey | None:
        """Where a version of something is registered; None if nothing can have this name."""
        place = self._places.get((name, version, key))
        if place is None and is_name(name, self._limits):
            place = self._places[name, version, key] = key(name, version)
        return place

    def _output(self, call: Call, contract: Contract, transaction: Transaction) -> bytes:
        if contract.program is not None:
            return self._host.run(contract, contract.program, call.entity, call.argument)
        registry_call = RegistryCall(
            transaction=transaction,
            entity=call.entity,
            key_version=call.key_version,
            ledger_id=self._batch.ledger_id,
            limits=self._limits,
            compile=self._host.compile,
        )
        argument = read_json(call.argument)
        return canonical(BUILT_IN[contract.name](registry_call, argument), self._limits.request_output_bytes)


def bytes_in_decision(execution: Execution, limits: Limits) -> int:
    """What an execution takes in a decision beside its envelope: never less than the bytes it is encoded in."""
    size = REQUEST_BYTES + 2 * limits.name_bytes + _bytes_of(execution.fail_text) + len(execution.output)
    for read in execution.reads:
        size += READ_BYTES + 2 * (_bytes_of(read.namespace) + _bytes_of(read.key))
    for namespace, key, record in execution.writes:
        size += WRITE_BYTES + 2 * (_bytes_of(namespace) + _bytes_of(key)) + len(record.value)
    for scan in execution.scans:
        places = scan.namespace, scan.start, scan.end, scan.covered_to
        size += SCAN_BYTES + 2 * sum([_bytes_of(place) for place in places])
        size += sum([ROW_BYTES + 2 * _bytes_of(row.key) for row in scan.rows])
    return size


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
