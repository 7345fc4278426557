"""What contracts may call, and the running of one contract inside another.

Names and values as Starlark sees them; a value is one that canonical JSON can hold:

    get(namespace, key)                 the value, the request's own write if there is one, or None
    put(namespace, key, value)          write when the request ends well
    delete(namespace, key)              delete when the request ends well; nothing if there is nothing
    scan(namespace, start, end, limit)  {"rows": [[key, value], ...], "next": key or None} of
                                        start <= key < end ("": to the end)
    history(namespace, key, limit)      [{"version", "deleted", "value"}, ...], newest first; no own writes
    invoke(contract, argument)          the output of the contract "NAME/N", which has its own owner's rights
    caller()                            the entity that signed or, where invoked, the invoker: "contract/NAME"
    origin()                            the entity that signed
    ordered_at()                        the batch's time, in milliseconds
    fail(text)                          end the request as failed

Rules:

1. A contract writes only namespaces whose owner is its own owner, whoever called it; `sys` belongs to
   what is built in.
2. Every call costs 100 steps, `invoke` 1,000, beside the steps that the engine counts. They are counted
   for the request, nested contracts together; a request without any left is rejected.
3. `contract.value` is every error in a contract's code, every value that canonical JSON cannot hold, and
   an `invoke` that is unknown, built in, recursive or too deep.
4. What a call raises ends the request as it was raised, also through the engine, which makes a text of
   it.
5. Values come and go as JSON (`protocol.contracts.engine`), and the place of a record as one text: neither a
   namespace nor a key has a line break, so a text with a second one is a place that is refused.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, NoReturn

import orjson

from protocol.canonical_json import is_surely_canonical
from protocol.contracts.engine import (
    EXHAUSTION,
    STEPS_PER_CHECK,
    ContractError,
    Engine,
    ExhaustedError,
    Program,
    value_of,
)
from protocol.contracts.names import SYS, is_contract, is_key, is_name, namespace_key
from protocol.contracts.overlay import Overlay
from protocol.contracts.transaction import CallFailed, Transaction, bounded, canonical
from protocol.json_text import read_json, write_json
from protocol.limits import Limits
from protocol.records import Record, RecordKey

CALL_STEPS: Final = 100
INVOKE_STEPS: Final = 1_000
CONTRACTS_KEPT: Final = 256
SOURCES_KEPT: Final = 4 * 1024 * 1024
"""How many compiled contracts are kept, and how many characters their sources may have together."""

PLACES_KEPT: Final = 10_000
"""How many places of records are kept with their keys."""

_WRAPPERS: Final = """
def get(namespace, key):
    return json.decode(_get(namespace + "\\n" + key))

def put(namespace, key, value):
    _put(namespace + "\\n" + key, text_of(value))

def delete(namespace, key):
    _delete(namespace + "\\n" + key)

def scan(namespace, start, end, limit):
    return json.decode(_scan(namespace, start, end, limit))

def history(namespace, key, limit):
    return json.decode(_history(namespace + "\\n" + key, limit))

def invoke(contract, argument):
    return json.decode(_invoke(contract, text_of(argument)))
"""

_NOTHING: Final[list[object]] = []
"""What crosses the engine's border in half the time that `None` takes."""


class OutOfStepsError(Exception):
    """The request has used up its steps."""


class Contract(NamedTuple):
    """A contract ready to run; without a program it is built in."""

    key: RecordKey
    name: str
    owner: str
    program: Program | None


class _Frame(NamedTuple):
    """A contract that is running."""

    contract: Contract
    caller: str


class Host:
    """Runs the contracts of one request at a time. Between requests it keeps compiled contracts."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        calls: dict[str, Callable[..., object]] = {
            "_get": self._get,
            "_put": self._put,
            "_delete": self._delete,
            "_scan": self._scan,
            "_history": self._history,
            "caller": self._caller,
            "origin": self._origin,
            "ordered_at": self._ordered_at,
            "fail": self._fail,
        }
        guarded = {name: self._guarded(call, CALL_STEPS) for name, call in calls.items()}
        guarded["_invoke"] = self._guarded(self._invoke, INVOKE_STEPS)
        self._engine = Engine(guarded, self._spend_check, _WRAPPERS)
        self._places: dict[str, RecordKey] = {}
        self._contracts: dict[bytes, Contract] = {}
        self._sources = 0
        self._frames: list[_Frame] = []

    def begin(self, overlay: Overlay, transaction: Transaction, origin: str, ordered_at_ms: int) -> None:
        """Turn to the next request."""
        self._overlay = overlay
        self._transaction = transaction
        self._origin_entity = origin
        self._ordered_at_ms = ordered_at_ms
        self._owners: dict[str, str] = {}  # of the namespaces that the request writes
        self._steps_left = self._limits.contract_steps
        self._failure: BaseException | None = None
        self._frames.clear()

    def load(self, name: str, key: RecordKey, record: Record) -> Contract:
        """The contract of a record, compiled the first time.

        Raises:
            CallFailed: `contract.value`: it does not compile; only a genesis can hold such a contract.
            ExhaustedError: out of memory or stack.
        """
        contract = self._contracts.get(record.record_hash)
        if contract is None:
            value = read_json(record.value)
            source = value.get("source", "")
            if len(self._contracts) == CONTRACTS_KEPT or self._sources > SOURCES_KEPT:
                self.forget()
            program = None if "built_in" in value else self._compile_registered(source)
            contract = self._contracts[record.record_hash] = Contract(key, name, value["owner"], program)
            self._sources += len(source)
        return contract

    def forget(self) -> None:
        """Drop the compiled contracts."""
        self._contracts.clear()
        self._sources = 0

    def close(self) -> None:
        """End the engine, which holds this host as this host holds it."""
        self.forget()
        self._engine.close()

    def compile(self, source: str) -> Program:
        """Compile a source that the scan has passed.

        Raises:
            ContractError: it does not parse, or its top level fails.
            ExhaustedError: out of memory or stack.
        """
        return self._engine.compile(source)

    def run(self, contract: Contract, program: Program, caller: str, argument: bytes) -> bytes:
        """Run a contract inside those that are running; give its output.

        Args:
            contract: which one.
            program: what its source was compiled to.
            caller: who called it.
            argument: JSON.

        Raises:
            CallFailed: the request fails.
            OutOfStepsError: the request is rejected.
            ExhaustedError: out of memory or stack.
            DamagedRecordError: a record does not have its hash.
        """
        self._frames.append(_Frame(contract, caller))
        try:
            output = program.run(self._engine.options, argument.decode())
        except (ContractError, ExhaustedError) as error:
            raise self._reason(error) from None
        self._frames.pop()
        try:
            return _canonical(output, self._limits.request_output_bytes)
        except MemoryError:
            raise ExhaustedError("memory") from None

    def _compile_registered(self, source: str) -> Program:
        try:
            return self._engine.compile(source)
        except ContractError:
            raise CallFailed("contract.value") from None

    def _reason(self, error: ContractError | ExhaustedError) -> BaseException:
        """Why a contract ended: what one of its calls raised comes first, the engine knows only its text."""
        if isinstance(self._failure, EXHAUSTION):
            return ExhaustedError("memory")
        if self._failure is not None:
            return self._failure
        return CallFailed("contract.value") if isinstance(error, ContractError) else error

    def _spend_check(self) -> bool:
        """The engine's question whether to end the contract."""
        self._steps_left -= STEPS_PER_CHECK
        if self._steps_left < 0:
            self._failure = OutOfStepsError()
        return self._steps_left < 0

    def _guarded(self, function: Callable[..., object], steps: int) -> Callable[..., object]:
        """A call for contracts: it costs steps, and what it raises is kept."""

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

    def _key(self, place: object) -> RecordKey:
        """The key of the record at a place that a contract named."""
        if type(place) is not str:
            raise CallFailed("contract.value")
        key = self._places.get(place)
        if key is None:
            namespace, _, name = place.partition("\n")
            if not (is_name(namespace, self._limits) and is_key(name, self._limits)):
                raise CallFailed("name.refused")
            if len(self._places) == PLACES_KEPT:
                self._places.clear()
            key = self._places[place] = RecordKey(namespace, name)
        return key

    def _own_key(self, place: object) -> RecordKey:
        """The key of a record that the running contract may write."""
        found = self._key(place)
        owner = self._owners.get(found.namespace)
        if owner is None:
            if found.namespace == SYS:
                raise CallFailed("namespace.foreign")
            record = self._transaction.record(namespace_key(found.namespace))
            if record.deleted:
                raise CallFailed("namespace.unknown")
            owner = self._owners[found.namespace] = self._overlay.parsed(record)["owner"]
        if owner != self._frames[-1].contract.owner:
            raise CallFailed("namespace.foreign")
        return found

    def _get(self, place: object) -> str:
        value = self._transaction.get_bytes(self._key(place))
        return "null" if value is None else value.decode()

    def _put(self, place: object, value: object) -> list[object]:
        key = self._own_key(place)
        data = _as_it_crossed(value)
        if data is None:
            self._transaction.put(key, _value(value))
        else:
            self._transaction.put_bytes(key, data)
        return _NOTHING

    def _delete(self, place: object) -> list[object]:
        self._transaction.delete(self._own_key(place))
        return _NOTHING

    def _scan(self, namespace: object, start: object, end: object, limit: object) -> str:
        if type(namespace) is not str or type(start) is not str or type(end) is not str:
            raise CallFailed("contract.value")
        if not is_name(namespace, self._limits) or max(len(start), len(end)) > self._limits.key_bytes + 1:
            raise CallFailed("name.refused")
        rows, rest = self._transaction.scan(namespace, start, end, self._count(limit))
        found = {"rows": [(key, orjson.Fragment(value)) for key, value in rows], "next": rest}
        return write_json(found).decode()

    def _history(self, place: object, limit: object) -> str:
        versions = self._transaction.history(self._key(place), self._count(limit))
        found = [
            {
                "version": record.version,
                "deleted": record.deleted,
                "value": None if record.deleted else orjson.Fragment(record.value),
            }
            for record in versions
        ]
        return write_json(found).decode()

    def _count(self, limit: object) -> int:
        if type(limit) is not int or not 1 <= limit <= self._limits.records_per_request:
            raise CallFailed("contract.value")
        return limit

    def _invoke(self, contract: object, argument: object) -> str:
        if type(contract) is not str or not is_contract(contract, self._limits):
            raise CallFailed("contract.value")
        key = RecordKey(SYS, f"contract/{contract}")
        frames = self._frames
        if len(frames) == self._limits.contract_nesting or any(f.contract.key == key for f in frames):
            raise CallFailed("contract.value")
        passed = _canonical(argument, self._limits.argument_bytes)
        record = self._transaction.record(key)
        if record.deleted:
            raise CallFailed("contract.value")
        loaded = self.load(contract.rpartition("/")[0], key, record)
        if loaded.program is None:
            raise CallFailed("contract.value")
        caller = f"contract/{frames[-1].contract.name}"
        return self.run(loaded, loaded.program, caller, passed).decode()

    def _caller(self) -> str:
        return self._frames[-1].caller

    def _origin(self) -> str:
        return self._origin_entity

    def _ordered_at(self) -> int:
        return self._ordered_at_ms

    def _fail(self, text: object) -> NoReturn:
        if type(text) is not str:
            raise CallFailed("contract.value")
        longest = self._limits.fail_text_bytes
        raise CallFailed("contract.failed", text[:longest].encode()[:longest].decode(errors="ignore"))


def _canonical(crossed: object, bytes_max: int) -> bytes:
    """Canonical JSON of what crossed the border."""
    data = _as_it_crossed(crossed)
    return canonical(_value(crossed), bytes_max) if data is None else bounded(data, bytes_max)


def _as_it_crossed(crossed: object) -> bytes | None:
    """The text that crossed, where it is canonical JSON already, as most are; else None."""
    return crossed.encode() if isinstance(crossed, str) and is_surely_canonical(crossed) else None


def _value(crossed: object) -> object:
    try:
        return value_of(crossed)
    except ValueError:
        raise CallFailed("contract.value") from None
