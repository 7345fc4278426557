"""What a simulated ledger begins with: keys, genesis and configuration, alike for every seed.

A founding depends on its limits and its dispersal only, so it is made once per process, with real keys and signatures.
"""

from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from typing import NamedTuple

from auditor.state import initial_cells
from protocol.canonical_json import dumps
from protocol.configuration import NONE, SIMPLE, TREE, Epochs, check_epochs, ledger_id
from protocol.contracts.genesis import genesis_records, genesis_versions
from protocol.contracts.names import contract_key, namespace_key
from protocol.contracts.registry import RIGHTS
from protocol.hashing import ZERO_HASH
from protocol.limits import HOUR_MS, MINUTE_MS, Limits
from protocol.records import RecordKey
from protocol.signatures import configuration_input
from protocol.signing import SigningKey
from schemas.epoch import Administrator, Configuration, Cut, Genesis, GenesisRecord, SignedConfiguration
from storage.memory_store import MemoryStore
from storage.ports import RecordWrite, StoreCall, Stored

ADMIN = "admin"
ENTITIES = (ADMIN, "ann", "bob", "eve")
SALT_SECRET = b"salt" * 8

CONTRACTS = {
    "tally": (
        "def execute(argument):\n"
        '    found = scan("object", argument["start"], argument["end"], 2)\n'
        '    count = len(found["rows"])\n'
        '    put("tally", argument["into"], count)\n'
        "    return count\n"
    ),
    "forever": "def execute(argument):\n    for i in range(1000000000):\n        pass\n",
}
"""Contracts beside the generic ones: one whose result hangs on a range, and one that has no end."""

SIMULATED = replace(
    Limits.tiny(), expiry_default_ms=10 * MINUTE_MS, expiry_ahead_ms=HOUR_MS, replay_guard_entries=4096
)
"""Tiny limits, but room in the replay guard and time to come back: most requests are to be decided."""


class Dispersed(NamedTuple):
    """How a simulated ledger is dispersed: over `n` replicas of which `b` may lie, under which checksum."""

    n: int
    b: int
    checksum: str


DISPERSED = (Dispersed(4, 1, TREE), Dispersed(4, 1, SIMPLE), Dispersed(3, 0, NONE), Dispersed(5, 1, SIMPLE))
"""The ledgers that are simulated; the first one most of the time."""

REPLICAS = max(shape.n for shape in DISPERSED)
"""The most replicas that any of them has: the log has a topic for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """Keys and configuration of a ledger.

    Attributes:
        entities: the clients' first keys, by name.
        records: the initial records, as both stores hold them.
    """

    limits: Limits
    dispersed: Dispersed
    epochs: Epochs
    auditor_key: SigningKey
    ledger_key: SigningKey
    replica_keys: tuple[SigningKey, ...]
    entities: dict[str, SigningKey]
    records: tuple[RecordWrite, ...]

    def auditor_store(self) -> MemoryStore:
        """The Auditor's store as `init` makes it."""
        return _auditor_store(self.limits, self.dispersed).copy()


def key_of(name: str) -> SigningKey:
    """The key that goes by this name in every simulation."""
    return SigningKey.from_seed("p256", sha256(name.encode()).digest())


@cache
def found(limits: Limits = SIMULATED, dispersed: Dispersed = DISPERSED[0]) -> Founding:
    """The ledger with these limits, dispersed in this way."""
    entities = {name: key_of(name) for name in ENTITIES}
    auditor_key, ledger_key = key_of("the auditor"), key_of("the ledger")
    replica_keys = tuple(key_of(f"replica {index}") for index in range(dispersed.n))
    administrators = tuple(
        Administrator(name, key.public_key, tuple(sorted(RIGHTS)) if name == ADMIN else ())
        for name, key in entities.items()
    )
    own = [(namespace_key("tally"), dumps({"owner": ADMIN}))]
    own += [(contract_key(name, 1), dumps({"owner": ADMIN, "source": source})) for name, source in CONTRACTS.items()]
    records = sorted([*genesis_records(administrators), *own])
    genesis = Genesis(
        format=1,
        auditor_nonce=b"a" * 32,
        auditor_key=auditor_key.public_key,
        ledger_nonce=b"l" * 32,
        ledger_key=ledger_key.public_key,
        administrators=administrators,
        records=tuple(GenesisRecord(key.namespace, key.key, value) for key, value in records),
    ).to_bytes()
    identity = ledger_id(genesis)
    configuration = _configuration(identity, limits, dispersed, auditor_key, ledger_key, replica_keys).to_bytes()
    signed = SignedConfiguration(
        configuration=configuration,
        auditor_signature=auditor_key.sign(configuration_input("auditor", identity, 0, configuration)),
        ledger_signature=ledger_key.sign(configuration_input("ledger", identity, 0, configuration)),
        previous_auditor_signature=None,
        previous_ledger_signature=None,
    ).to_bytes()
    return Founding(
        limits=limits,
        dispersed=dispersed,
        epochs=check_epochs(identity, genesis, (signed,)),
        auditor_key=auditor_key,
        ledger_key=ledger_key,
        replica_keys=replica_keys,
        entities=entities,
        records=tuple(RecordWrite(RecordKey(*key), record) for key, record in genesis_versions(identity, records)),
    )


def _configuration(
    identity: bytes,
    limits: Limits,
    dispersed: Dispersed,
    auditor: SigningKey,
    ledger: SigningKey,
    replicas: tuple[SigningKey, ...],
) -> Configuration:
    return Configuration(
        format=1,
        ledger_id=identity,
        epoch=0,
        previous_epoch_hash=ZERO_HASH,
        cut=Cut(-1, ZERO_HASH, 0, ZERO_HASH),
        auditor_store_id=b"s" * 32,
        auditor_key=auditor.public_key,
        ledger_key=ledger.public_key,
        replica_keys=tuple(key.public_key for key in replicas),
        n=dispersed.n,
        b=dispersed.b,
        c=0,
        k=dispersed.n - dispersed.b,
        codec="zfec",
        checksum=dispersed.checksum,
        block_updates=dispersed.n,
        engine_version="simulated",
        engine_answers=ZERO_HASH,
        schemas=(),
        limits=limits.to_bytes(),
        window=limits.window_sequences,
        skew_ms=limits.clock_skew_ms,
    )


@cache
def _auditor_store(limits: Limits, dispersed: Dispersed) -> MemoryStore:
    founding = found(limits, dispersed)
    store = MemoryStore()
    store.create(founding.epochs.latest.auditor_store_id)
    call = StoreCall(
        expected_cells={"head": b""}, writes=founding.records, cells=initial_cells(founding.epochs)
    )
    assert isinstance(store.apply(call), Stored)
    return store
