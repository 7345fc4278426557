"""Execution of a batch: each call in its order, over what the calls before it wrote.

What a contract may call (names and values as Starlark sees them; a value is one of canonical JSON):

    get(namespace, key)                   the value, its own write if there is one, or None
    put(namespace, key, value)            write when the request ends well
    delete(namespace, key)                delete when the request ends well; nothing if there is nothing
    scan(namespace, start, end, limit)    {"rows": [[key, value], ...], "next": key or None} for
                                          start <= key < end ("": to the end)
    history(namespace, key, limit)        [{"version", "deleted", "value"}, ...] before the request, newest first
    invoke(contract, argument)            the output of the contract "NAME/N", which runs with its owner's rights
    caller()                              the entity that signed or, where invoked, "contract/NAME" of the invoker
    origin()                              the entity that signed
    ordered_at()                          the batch's time, in milliseconds
    fail(text)                            end the request as failed

Rules:

1. Every result is a function of the batch and the records, alike on every machine. Outcomes carry stable codes and texts
   given to `fail`, nothing of the engine's. A failed call, nested ones too, writes nothing and keeps its reads.
2. `contract.value` is every error in a contract's code, every value that canonical JSON cannot hold, and an `invoke` that is
   unknown, built in, recursive or too deep.
3. A contract writes only namespaces whose owner is its own owner, whoever called it; `sys` belongs to what is built in.
4. A call that runs out of steps is rejected. Every call of the list above costs 100 steps, `invoke` 1,000, beside those that the
   engine counts; they are counted for the request, nested contracts together.
5. Memory, stack and time are not judged here: `ExhaustedError` leaves `execute`, and the process that runs it should end.
6. The batch is closed before the first call whose results, with those before it, would exceed `batch_output_bytes`; at least
   one call is executed. Beside outputs and values this counts the lists of versions, so that messages stay bounded.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import orjson

from protocol.canonical_json import Value
from protocol.contracts.calls import Batch, Call, Execution, Fetch, Rejected
from protocol.contracts.engine import STEPS_PER_CHECK, ContractError, Engine, ExhaustedError, Program
from protocol.contracts.names import (
    SYS,
    contract_key,
    is_contract,
    is_key,
    is_name,
    namespace_key,
    public_key_key,
)
from protocol.contracts.overlay import Overlay
from protocol.contracts.registry import BUILT_IN, RegistryCall
from protocol.contracts.transaction import CallFailed, Transaction, canonical
from protocol.limits import Limits
from protocol.records import Record, RecordKey

CALL_STEPS = 100
INVOKE_STEPS = 1_000
PROGRAMS_MAX = 256
PROGRAM_SOURCES_MAX = 4 * 1024 * 1024
"""How many compiled contracts are kept, and how much source they may have together, in characters."""

_VERSION_BYTES = 200  # of a record version in an entry, an outcome and a decision, beside its names


class OutOfStepsError(Exception):
    """The call has used up its steps."""


class _Contract(NamedTuple):
    owner: str
    name: str
    program: Program | None  # None: built in


class _Frame(NamedTuple):
    """A contract that is running."""

    key: RecordKey
    name: str
    owner: str
    caller: str


def execute(batch: Batch, fetch: Fetch, limits: Limits) -> tuple[Execution | Rejected, ...]:
    """Execute a batch once, see `Runner.run`."""
    return Runner(limits).run(batch, fetch)


class Runner:
    """Executes batches. Between them it keeps compiled contracts and nothing else; for one thread at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        calls: dict[str, Callable[..., object]] = {
            name: self._guarded(getattr(self, f"_{name}"), INVOKE_STEPS if name == "invoke" else CALL_STEPS)
            for name in ("get", "put", "delete", "scan", "history", "invoke", "caller", "origin", "ordered_at", "fail")
        }
        self._engine = Engine(calls, self._spend_check)
        self._contracts: dict[bytes, _Contract] = {}
        self._contract_sources = 0
        self._frames: list[_Frame] = []
        self._failure: BaseException | None = None
        self._steps_left = 0

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
        self._batch = batch
        self._overlay = Overlay(batch.ledger_id, fetch, batch.records)
        self._parsed: dict[bytes, Any] = {}
        self._places: dict[tuple[str, int, object], RecordKey] = {}
        results: list[Execution | Rejected] = []
        index = batch.first_index
        room = self._limits.batch_output_bytes
        for call in batch.calls:
            if before_call is not None:
                before_call()
            self._call = call
            self._transaction = Transaction(self._overlay, self._limits)
            self._steps_left = self._limits.contract_steps
            self._frames.clear()
            self._owners: dict[str, str] = {}  # of the namespaces this call has written
            result = self._result(call, index)
            if isinstance(result, Execution):
                room -= bytes_in_decision(result)
                if room < 0 and results:
                    break
                index += 1
            results.append(result)
        return tuple(results)

    def forget(self) -> None:
        """Drop the compiled contracts."""
        self._contracts.clear()
        self._contract_sources = 0

    def _result(self, call: Call, index: int) -> Execution | Rejected:
        transaction = self._transaction
        code, text, output = "", "", b""
        try:
            contract = self._admit(call)
            if isinstance(contract, str):
                return Rejected(code=contract, final=True, reads=transaction.reads())
            output = self._output(call, contract)
            if len(output) + transaction.output_bytes() > self._limits.request_output_bytes:
                raise CallFailed("contract.output_too_large")
        except CallFailed as failure:
            code, text, output = failure.code, failure.text, b""
        except OutOfStepsError:
            return Rejected(code="contract.resources", final=True, reads=transaction.reads())
        return Execution(
            index=index,
            status="failed" if code else "ok",
            code=code,
            fail_text=text,
            output=output,
            reads=transaction.reads(),
            scans=tuple(transaction.scans),
            writes=() if code else transaction.apply(self._batch.ledger_id, call.request_id, self._batch.sequence, index),
        )

    def _admit(self, call: Call) -> _Contract | str:
        """The contract of a call, or the code why it is rejected."""
        where = self._place(call.entity, call.key_version, public_key_key)
        if where is None:
            return "entity.unknown"
        key = self._transaction.record(where)
        if key.version == 0:
            return "entity.unknown"
        if key.deleted or self._parse(key)["status"] != "active":
            return "entity.key_revoked"
        where = self._place(call.contract, call.contract_version, contract_key)
        if where is None:
            return "contract.unknown"
        contract = self._transaction.record(where)
        if contract.deleted:
            return "contract.unknown"
        loaded = self._load(call.contract, contract)
        self._frames.append(_Frame(where, call.contract, loaded.owner, call.entity))
        return loaded

    def _place(self, name: str, version: int, key: Callable[[str, int], RecordKey]) -> RecordKey | None:
        """Where a version of something is registered; None if nothing can have this name."""
        place = self._places.get((name, version, key))
        if place is None and is_name(name, self._limits):
            place = self._places[name, version, key] = key(name, version)
        return place

    def _output(self, call: Call, contract: _Contract) -> bytes:
        argument = orjson.loads(call.argument)
        if contract.program is not None:
            value = self._run(contract.program, argument)
        else:
            value = BUILT_IN[contract.name](
                RegistryCall(
                    transaction=self._transaction,
                    entity=call.entity,
                    key_version=call.key_version,
                    ledger_id=self._batch.ledger_id,
                    limits=self._limits,
                    compile=self._engine.compile,
                ),
                argument,
            )
        return canonical(value, self._limits.request_output_bytes)

    def _run(self, program: Program, argument: object) -> object:
        """Run a contract, with the error that ended it if that was one of ours."""
        self._failure = None
        try:
            return program.run(self._engine.options, argument)
        except (ContractError, ExhaustedError) as error:
            raise self._reason(error) from None

    def _reason(self, error: ContractError | ExhaustedError) -> BaseException:
        """Why a contract ended: what one of its calls raised comes first, the engine knows only its text."""
        if isinstance(self._failure, (MemoryError, RecursionError)):
            return ExhaustedError("memory")
        if self._failure is not None:
            return self._failure
        return CallFailed("contract.value") if isinstance(error, ContractError) else error

    def _load(self, name: str, record: Record) -> _Contract:
        """The contract of a record, compiled the first time."""
        contract = self._contracts.get(record.record_hash)
        if contract is None:
            value = orjson.loads(record.value)
            source = value.get("source", "")
            if len(self._contracts) == PROGRAMS_MAX or self._contract_sources > PROGRAM_SOURCES_MAX:
                self.forget()
            try:
                program = None if "built_in" in value else self._engine.compile(source)
            except ContractError:  # a genesis may hold anything
                raise CallFailed("contract.value") from None
            contract = self._contracts[record.record_hash] = _Contract(value["owner"], name, program)
            self._contract_sources += len(source)
        return contract

    def _parse(self, record: Record) -> Any:
        """The value of a record of the registry."""
        value = self._parsed.get(record.record_hash)
        if value is None:
            value = self._parsed[record.record_hash] = orjson.loads(record.value)
        return value

    def _spend_check(self) -> bool:
        """The engine's question whether to end the contract."""
        self._steps_left -= STEPS_PER_CHECK
        if self._steps_left < 0:
            self._failure = OutOfStepsError()
        return self._steps_left < 0

    def _guarded(self, function: Callable[..., object], steps: int) -> Callable[..., object]:
        """A call for contracts: it costs steps, and its errors are kept, because the engine makes texts of them."""

        def call(*arguments: object, **named: object) -> object:
            try:
                self._steps_left -= steps
                if self._steps_left < 0:
                    raise OutOfStepsError
                return function(*arguments, **named)
            except TypeError as error:
                is_ours = error.__traceback__ is not None and error.__traceback__.tb_next is not None
                self._failure = error if is_ours else CallFailed("contract.value")  # else wrong arguments
                raise
            except BaseException as error:
                self._failure = error
                raise

        return call

    def _key(self, namespace: object, key: object) -> RecordKey:
        if type(namespace) is not str or type(key) is not str:
            raise CallFailed("contract.value")
        found = RecordKey(namespace, key)
        if not self._transaction.has_seen(found) and not (
            is_name(namespace, self._limits) and is_key(key, self._limits)
        ):
            raise CallFailed("name.refused")
        return found

    def _own_key(self, namespace: object, key: object) -> RecordKey:
        """The key of a record that the running contract may write."""
        found = self._key(namespace, key)
        if found.namespace == SYS:
            raise CallFailed("namespace.foreign")
        owner = self._owners.get(found.namespace)
        if owner is None:
            record = self._transaction.record(namespace_key(found.namespace))
            if record.deleted:
                raise CallFailed("namespace.unknown")
            owner = self._owners[found.namespace] = self._parse(record)["owner"]
        if owner != self._frames[-1].owner:
            raise CallFailed("namespace.foreign")
        return found

    def _get(self, namespace: object, key: object) -> Value:
        return self._transaction.get(self._key(namespace, key))

    def _put(self, namespace: object, key: object, value: object) -> None:
        self._transaction.put(self._own_key(namespace, key), value)

    def _delete(self, namespace: object, key: object) -> None:
        self._transaction.delete(self._own_key(namespace, key))

    def _scan(self, namespace: object, start: object, end: object, limit: object) -> Value:
        if type(namespace) is not str or type(start) is not str or type(end) is not str:
            raise CallFailed("contract.value")
        if not is_name(namespace, self._limits) or max(len(start), len(end)) > self._limits.key_bytes + 1:
            raise CallFailed("name.refused")
        rows, rest = self._transaction.scan(namespace, start, end, self._count(limit))
        return {"rows": [[key, value] for key, value in rows], "next": rest}

    def _history(self, namespace: object, key: object, limit: object) -> Value:
        versions = self._transaction.history(self._key(namespace, key), self._count(limit))
        return [
            {
                "version": record.version,
                "deleted": record.deleted,
                "value": None if record.deleted else orjson.loads(record.value),
            }
            for record in versions
        ]

    def _count(self, limit: object) -> int:
        if type(limit) is not int or not 1 <= limit <= self._limits.records_per_request:
            raise CallFailed("contract.value")
        return limit

    def _invoke(self, contract: object, argument: object) -> object:
        frames = self._frames
        if type(contract) is not str or not is_contract(contract, self._limits):
            raise CallFailed("contract.value")
        where = RecordKey(SYS, f"contract/{contract}")
        if len(frames) == self._limits.contract_nesting or any(frame.key == where for frame in frames):
            raise CallFailed("contract.value")
        argument = orjson.loads(canonical(argument, self._limits.argument_bytes))
        record = self._transaction.record(where)
        if record.deleted:
            raise CallFailed("contract.value")
        name = contract.rpartition("/")[0]
        loaded = self._load(name, record)
        if loaded.program is None:
            raise CallFailed("contract.value")
        frames.append(_Frame(where, name, loaded.owner, f"contract/{frames[-1].name}"))
        output = self._run(loaded.program, argument)
        frames.pop()
        return orjson.loads(canonical(output, self._limits.request_output_bytes))

    def _caller(self) -> str:
        return self._frames[-1].caller

    def _origin(self) -> str:
        return self._call.entity

    def _ordered_at(self) -> int:
        return self._batch.ordered_at_ms

    def _fail(self, text: object) -> NoReturn:
        if type(text) is not str:
            raise CallFailed("contract.value")
        cut = text[: self._limits.fail_text_bytes].encode()[: self._limits.fail_text_bytes]
        raise CallFailed("contract.failed", cut.decode(errors="ignore"))


def bytes_in_decision(execution: Execution) -> int:
    """What an execution takes in a decision, nearly."""
    size = len(execution.output) + sum([len(write.record.value) for write in execution.writes])
    size += _VERSION_BYTES * len(execution.reads) + 2 * sum([len(read.key) for read in execution.reads])
    for scan in execution.scans:
        size += _VERSION_BYTES * (1 + len(scan.rows)) + 4 * (len(scan.start) + len(scan.end))
        size += 2 * sum([len(row.key) for row in scan.rows])
    return size
