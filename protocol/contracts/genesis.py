"""The records a ledger begins with: its administrators, the contracts that are built in and the generic
ones.

The first administrator owns the generic contracts and the namespaces `object` and `bank`. Others register
the same sources under names of their own.
"""

from collections.abc import Iterable, Sequence
from importlib.resources import files

from protocol.canonical_json import dumps
from protocol.contracts.names import SYS, contract_key, entity_key, namespace_key, public_key_key
from protocol.contracts.registry import BUILT_IN, public_key_value
from protocol.hashing import ZERO_HASH
from protocol.records import ABSENT, Record, RecordKey, successor
from schemas.epoch import Administrator

GENERIC_CONTRACTS = (
    "account.open",
    "object.delete",
    "object.get",
    "object.history",
    "object.put",
    "transfer",
)
"""Contracts that ship with the system, each in `generic/NAME.star`."""

GENERIC_NAMESPACES = ("bank", "object")
"""Namespaces that they write."""


def generic_source(contract: str) -> str:
    """The source of a generic contract."""
    assert contract in GENERIC_CONTRACTS
    return (files("protocol.contracts") / "generic" / f"{contract}.star").read_text(encoding="utf-8")


def genesis_records(administrators: Sequence[Administrator]) -> tuple[tuple[RecordKey, bytes], ...]:
    """The initial records of a ledger and their values, sorted by key.

    Args:
        administrators: at least one; rights as in `registry.RIGHTS`.
    """
    owner = administrators[0].entity
    values: dict[RecordKey, bytes] = {}
    for administrator in administrators:
        entity, key = administrator.entity, administrator.key
        values[entity_key(entity)] = dumps({"rights": sorted(administrator.rights)})
        values[public_key_key(entity, 1)] = dumps(public_key_value(key.algorithm, key.key))
    for namespace in GENERIC_NAMESPACES:
        values[namespace_key(namespace)] = dumps({"owner": owner})
    for contract in BUILT_IN:
        values[contract_key(contract, 1)] = dumps({"built_in": contract, "owner": SYS})
    for contract in GENERIC_CONTRACTS:
        values[contract_key(contract, 1)] = dumps({"owner": owner, "source": generic_source(contract)})
    return tuple(sorted(values.items()))


def genesis_versions(
    ledger_id: bytes, records: Iterable[tuple[RecordKey, bytes]]
) -> tuple[tuple[RecordKey, Record], ...]:
    """The initial records as versions: version 1, written by sequence -1 at their place in the genesis."""
    return tuple(
        (
            key,
            successor(
                ledger_id, key, ABSENT, value, request_id=ZERO_HASH, writer_sequence=-1, writer_index=index
            ),
        )
        for index, (key, value) in enumerate(records)
    )
