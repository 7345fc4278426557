"""A small ledger without parties: the genesis records, and every batch executed on them applied at once."""

import gc
from collections.abc import Sequence
from functools import cache
from typing import Any

from protocol.canonical_json import dumps, loads
from protocol.contracts.calls import Batch, Call, Execution, Rejected
from protocol.contracts.execution import Runner
from protocol.contracts.genesis import genesis_records, genesis_versions
from protocol.contracts.host import Host
from protocol.contracts.key_proof import key_proof_input
from protocol.contracts.registry import CONTRACT_REGISTER, ENTITY_REGISTER
from protocol.hashing import tagged
from protocol.limits import Limits
from protocol.records import ABSENT, Record, RecordKey
from protocol.signing import Algorithm, SigningKey
from schemas.epoch import Administrator

LEDGER_ID = tagged("genesis", b"contract tests")
LIMITS = Limits()


def signing_key(name: str, version: int = 1, algorithm: Algorithm = "ed25519") -> SigningKey:
    """The key of an entity, always the same."""
    return SigningKey.from_seed(algorithm, tagged("salt", name.encode(), bytes((version,))))


def proof_fields(
    entity: str, version: int = 1, algorithm: Algorithm = "ed25519", ledger_id: bytes = LEDGER_ID
) -> dict[str, Any]:
    """Key and proof of possession, as the registry takes them."""
    key = signing_key(entity, version, algorithm)
    signed = key_proof_input(ledger_id, entity, version, algorithm, key.public_key.key)
    return {
        "algorithm": algorithm,
        "proof": key.sign(signed).hex(),
        "public_key": key.public_key.key.hex(),
    }


@cache
def _runner(limits: Limits) -> Runner:
    """One for all worlds: nobody closes it."""
    return Runner(limits)


class World:
    """Records of a party, and how to run calls on them. It is its own `Fetch`."""

    def __init__(self, executor: Any = None, limits: Limits = LIMITS) -> None:
        """Begin with a genesis whose administrator is `admin`.

        Args:
            executor: anything with `run(batch, fetch)`; a `Runner` if there is none.
            limits: for that runner.
        """
        self.executor = executor or _runner(limits)
        self.history: dict[RecordKey, list[Record]] = {}
        self.sequence = 0
        self.fetched: list[tuple[object, ...]] = []
        administrator = Administrator(
            "admin", signing_key("admin").public_key, (CONTRACT_REGISTER, ENTITY_REGISTER)
        )
        for key, record in genesis_versions(LEDGER_ID, genesis_records([administrator])):
            self.history[key] = [record]

    def record(self, key: RecordKey) -> Record:
        self.fetched.append(("record", key))
        return self.current(key)

    def scan(self, namespace: str, start: str, end: str, limit: int) -> Sequence[tuple[str, Record]]:
        self.fetched.append(("scan", namespace, start, end, limit))
        keys = sorted(
            key.key
            for key in self.history
            if key.namespace == namespace and start <= key.key and (not end or key.key < end)
        )
        return [(key, self.history[RecordKey(namespace, key)][-1]) for key in keys[:limit]]

    def versions(self, key: RecordKey, newest: int, count: int) -> Sequence[Record]:
        self.fetched.append(("versions", key, newest, count))
        return self.history[key][max(0, newest - count) : newest][::-1]

    def current(self, key: RecordKey) -> Record:
        """The current record, without noting that it was asked for."""
        return self.history[key][-1] if key in self.history else ABSENT

    def value(self, namespace: str, key: str) -> bytes | None:
        """The current value, None if there is none."""
        record = self.current(RecordKey(namespace, key))
        return None if record.deleted else record.value

    def batch(self, *calls: Call, records: dict[RecordKey, Record] | None = None) -> Batch:
        """The next batch."""
        return Batch(
            ledger_id=LEDGER_ID,
            sequence=self.sequence,
            ordered_at_ms=1_700_000_000_000 + self.sequence,
            calls=calls,
            records=records or {},
        )

    def apply(self, results: Sequence[Execution | Rejected]) -> None:
        """Apply what a batch wrote."""
        for result in results:
            for namespace, key, record in result.writes if isinstance(result, Execution) else ():
                versions = self.history.setdefault(RecordKey(namespace, key), [])
                assert record.version == len(versions) + 1
                assert record.previous_hash == (versions[-1] if versions else ABSENT).record_hash
                versions.append(record)
        self.sequence += 1

    def run(self, *calls: Call) -> tuple[Execution | Rejected, ...]:
        """Execute calls as one batch, and apply what they wrote."""
        results = tuple(self.executor.run(self.batch(*calls), self))
        self.apply(results)
        return results

    def do(self, contract: str, argument: object, entity: str = "admin", **named: Any) -> Execution:
        """Execute one call that must not be rejected."""
        (result,) = self.run(call(contract, argument, entity, **named))
        assert isinstance(result, Execution), result
        return result

    def register(self, source: str, contract: str = "test", version: int = 1, entity: str = "admin") -> None:
        """Register a contract that must be accepted."""
        argument = {"contract": contract, "source": source, "version": version}
        result = self.do("sys.contract.register", argument, entity)
        assert result.status == "ok", result

    def enrol(self, entity: str, rights: Sequence[str] = ()) -> None:
        """Register an entity that must be accepted."""
        argument = {"entity": entity, "rights": list(rights), **proof_fields(entity)}
        result = self.do("sys.entity.register", argument)
        assert result.status == "ok", result

    def plant(self, key: RecordKey, value: object) -> None:
        """Put a record past the registry, as only a genesis could."""
        ((_, record),) = genesis_versions(LEDGER_ID, [(key, dumps(value))])
        self.history[key] = [record]


_count = 0


def call(
    contract: str, argument: object, entity: str = "admin", *, key_version: int = 1, contract_version: int = 1
) -> Call:
    """A call with a request_id of its own."""
    global _count
    _count += 1
    return Call(
        request_id=tagged("request", _count.to_bytes(8, "big")),
        entity=entity,
        key_version=key_version,
        contract=contract,
        contract_version=contract_version,
        argument=dumps(argument),
    )


NOTES = """
def execute(argument):
    output = None
    for step in argument:
        name = step[0]
        if name == "get":
            output = get("notes", step[1])
        elif name == "put":
            put("notes", step[1], step[2])
        elif name == "delete":
            delete("notes", step[1])
        elif name == "scan":
            output = scan("notes", step[1], step[2], step[3])
        elif name == "history":
            output = history("notes", step[1], step[2])
        elif name == "fail":
            fail(step[1])
        elif name == "break":
            output = 1 // 0
    return output
"""


def notes_world(executor: Any = None) -> World:
    """A ledger with a namespace `notes` and a contract `notes` that does what its argument says."""
    world = World(executor)
    assert world.do("sys.namespace.create", {"namespace": "notes"}).status == "ok"
    world.register(NOTES, "notes")
    return world


def notes(*steps: list[Any]) -> Call:
    """A call of `notes`."""
    return call("notes", list(steps))


def output(result: Execution) -> Any:
    """The output of a call that must have ended well."""
    assert result.status == "ok", result
    return loads(result.output)


def hosts_alive() -> int:
    """How many hosts of contracts nobody has given back, each with its engine."""
    gc.collect()
    return sum(isinstance(each, Host) for each in gc.get_objects())
