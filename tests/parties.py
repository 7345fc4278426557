"""What the parties of a ledger in memory have: keys, epochs that both signed, records and a journal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from protocol.batches import AssembledBatch, assemble
from protocol.canonical_json import dumps
from protocol.configuration import Epochs, check_epochs, ledger_id
from protocol.contracts.calls import Batch, Execution
from protocol.contracts.engine import engine_version
from protocol.contracts.execution import execute
from protocol.contracts.fingerprint import engine_answers
from protocol.contracts.genesis import genesis_records, genesis_versions
from protocol.contracts.registry import RIGHTS
from protocol.evidence.execution import call_of
from protocol.hashing import ZERO_HASH, tagged
from protocol.journal import Head
from protocol.limits import Limits
from protocol.records import ABSENT, Record, RecordKey, record_hash
from protocol.requests import OpenedRequest
from protocol.signatures import (
    configuration_input,
)
from protocol.signing import Role, SigningKey
from schemas.epoch import Administrator, Configuration, Cut, Genesis, GenesisRecord, SignedConfiguration

REPLICAS = 4


@cache
def key_of(name: str) -> SigningKey:
    """The key of somebody, always the same."""
    return SigningKey.from_seed("p256", tagged("salt", name.encode()))


@cache
def make_epochs(nonce: bytes = b"world", limits: Limits | None = None) -> Epochs:
    """Genesis and configuration 0, signed by both parties; with the usual limits, if no others are given."""
    administrators = (Administrator("admin", key_of("admin").public_key, tuple(sorted(RIGHTS))),)
    genesis = Genesis(
        format=1,
        auditor_nonce=tagged("salt", nonce, b"auditor"),
        auditor_key=key_of("auditor").public_key,
        ledger_nonce=tagged("salt", nonce, b"ledger"),
        ledger_key=key_of("ledger").public_key,
        administrators=administrators,
        records=tuple(
            GenesisRecord(key.namespace, key.key, value) for key, value in genesis_records(administrators)
        ),
    ).to_bytes()
    cut = Cut(sequence=-1, statement_hash=ZERO_HASH, journal_size=0, journal_root=ZERO_HASH)
    allowed = (limits or Limits()).to_bytes()
    configuration = make_configuration(ledger_id(genesis), 0, ZERO_HASH, cut, limits=allowed)
    signed = sign_configuration(configuration, {"auditor": key_of("auditor"), "ledger": key_of("ledger")})
    return check_epochs(ledger_id(genesis), genesis, (signed,))


def make_configuration(
    identity: bytes, epoch: int, previous: bytes, cut: Cut, **changes: Any
) -> Configuration:
    """The configuration of an epoch."""
    configuration = Configuration(
        format=1,
        ledger_id=identity,
        epoch=epoch,
        previous_epoch_hash=previous,
        cut=cut,
        auditor_store_id=tagged("salt", b"store", bytes((epoch,))),
        auditor_key=key_of("auditor").public_key,
        ledger_key=key_of("ledger").public_key,
        replica_keys=tuple(key_of(f"replica {number}").public_key for number in range(REPLICAS)),
        n=REPLICAS,
        b=1,
        c=0,
        k=3,
        codec="zfec",
        checksum="tree",
        block_updates=REPLICAS,
        engine_version=engine_version(),
        engine_answers=engine_answers(),
        schemas=(),
        limits=dumps(Limits().to_mapping()),
        window=64,
        skew_ms=1000,
    )
    return replace(configuration, **changes)


def sign_configuration(
    configuration: Configuration,
    keys: Mapping[Role, SigningKey],
    before: Mapping[Role, SigningKey] | None = None,
) -> bytes:
    """Sign a configuration with its own keys, and with those before it."""
    data = configuration.to_bytes()

    def sign(role: Role, key: SigningKey) -> bytes:
        return key.sign(configuration_input(role, configuration.ledger_id, configuration.epoch, data))

    return SignedConfiguration(
        configuration=data,
        auditor_signature=sign("auditor", keys["auditor"]),
        ledger_signature=sign("ledger", keys["ledger"]),
        previous_auditor_signature=sign("auditor", before["auditor"]) if before else None,
        previous_ledger_signature=sign("ledger", before["ledger"]) if before else None,
    ).to_bytes()


@dataclass
class Party:
    """What both parties have: records, a key, the journal so far. It is its own `Fetch`."""

    epochs: Epochs
    key: SigningKey
    history: dict[RecordKey, list[Record]] = field(default_factory=dict)
    head: Head = field(default_factory=Head.start)
    order_hash: bytes = ZERO_HASH

    def __post_init__(self) -> None:
        pairs = ((RecordKey(r.namespace, r.key), r.value) for r in self.epochs.genesis.records)
        for key, record in genesis_versions(self.epochs.ledger_id, pairs):
            self.history[key] = [record]

    def record(self, key: RecordKey) -> Record:
        return self.history[key][-1] if key in self.history else ABSENT

    def scan(self, namespace: str, start: str, end: str, limit: int) -> Sequence[tuple[str, Record]]:
        keys = sorted(
            key.key
            for key in self.history
            if key.namespace == namespace and start <= key.key and (not end or key.key < end)
        )
        return [(key, self.history[RecordKey(namespace, key)][-1]) for key in keys[:limit]]

    def versions(self, key: RecordKey, newest: int, count: int) -> Sequence[Record]:
        return self.history[key][max(0, newest - count) : newest][::-1]

    def execute(self, requests: Sequence[OpenedRequest], sequence: int, ordered_at_ms: int) -> AssembledBatch:
        """Execute requests that must not be rejected; nothing is stored yet."""
        batch = Batch(
            ledger_id=self.epochs.ledger_id,
            sequence=sequence,
            ordered_at_ms=ordered_at_ms,
            calls=tuple(call_of(request) for request in requests),
            records={},
        )
        results = execute(batch, self, Limits())
        executions = [result for result in results if isinstance(result, Execution)]
        assert len(executions) == len(requests), results
        return assemble(requests, executions, sequence)

    def store(self, assembled: AssembledBatch) -> None:
        """Store what a batch wrote."""
        for key, record in assembled.writes:
            self.history.setdefault(key, []).append(record)

    def alter(self, key: RecordKey, value: object, version: int = -1) -> None:
        """Do what a dishonest operator would: change a value at rest, and recompute its hash."""
        old = self.history[key][version]
        data = dumps(value)
        hashed = record_hash(
            self.epochs.ledger_id, key, old.version, old.deleted, data, old.request_id, old.previous_hash
        )
        self.history[key][version] = old._replace(value=data, record_hash=hashed)
