"""How a ledger begins and what its parties agree on: genesis and epoch configurations (PROTOCOL 2)."""

from dataclasses import dataclass
from typing import NamedTuple

from schemas.codec import Message, One, Rows, Texts


class PublicKey(NamedTuple):
    """A public key: "p256" with a compressed point of 33 bytes, or "ed25519" with 32 bytes."""

    algorithm: str
    key: bytes


class Administrator(NamedTuple):
    """An entity the genesis trusts, with its key and its rights."""

    entity: str
    key: PublicKey
    rights: tuple[str, ...]


class GenesisRecord(NamedTuple):
    """An initial record: version 1, written by sequence -1."""

    namespace: str
    key: str
    value: bytes


class Cut(NamedTuple):
    """Where an epoch ends the one before it: the Ledger's head at that moment."""

    sequence: int
    statement_hash: bytes
    journal_size: int
    journal_root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis(
    Message,
    schema="genesis",
    nested={
        "auditor_key": One(PublicKey),
        "ledger_key": One(PublicKey),
        "administrators": Rows(Administrator, key=One(PublicKey), rights=Texts()),
        "records": Rows(GenesisRecord),
    },
):
    """What a ledger begins with; its hash is the `ledger_id`.

    The nonces are fresh random bytes of each party: the same names and keys never make the same ledger.
    """

    format: int
    auditor_nonce: bytes
    auditor_key: PublicKey
    ledger_nonce: bytes
    ledger_key: PublicKey
    administrators: tuple[Administrator, ...]
    records: tuple[GenesisRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration(
    Message,
    schema="configuration",
    nested={
        "cut": One(Cut),
        "auditor_key": One(PublicKey),
        "ledger_key": One(PublicKey),
        "replica_keys": Rows(PublicKey),
    },
):
    """What both parties sign for one epoch.

    Attributes:
        auditor_store_id: random bytes made when the Auditor's store was created; it orders only with that
            store.
        n, b, c, k: replicas; how many may lie; how many may be silent; pieces that suffice (n - b - c).
        block_updates: updates per block.
        engine_version: version of the contract engine's wheel.
        engine_answers: hash of its answers to the known-answer suite.
        schemas: SHA-256 of each accepted schema's parsing canonical form.
        limits: canonical JSON of `protocol.limits.Limits`.
        window: sequences that may be ordered beyond the last decision, and committed beyond the last verified
            one.
        skew_ms: how far an order may be ahead of the Ledger's clock before it is held.
    """

    format: int
    ledger_id: bytes
    epoch: int
    previous_epoch_hash: bytes
    cut: Cut
    auditor_store_id: bytes
    auditor_key: PublicKey
    ledger_key: PublicKey
    replica_keys: tuple[PublicKey, ...]
    n: int
    b: int
    c: int
    k: int
    codec: str
    checksum: str
    block_updates: int
    engine_version: str
    engine_answers: bytes
    schemas: tuple[bytes, ...]
    limits: bytes
    window: int
    skew_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedConfiguration(Message, schema="signed_configuration"):
    """A configuration's bytes with the signatures of both parties by its own keys, and by the keys before
    it if any.
    """

    configuration: bytes
    auditor_signature: bytes
    ledger_signature: bytes
    previous_auditor_signature: bytes | None
    previous_ledger_signature: bytes | None
