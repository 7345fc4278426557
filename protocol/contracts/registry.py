"""The built-in contracts: entities, keys, namespaces and contracts, kept as records of namespace `sys`.

| contract | who may call it | argument |
|---|---|---|
| sys.entity.register | right `entity.register` | entity, algorithm, public_key, proof, optionally rights |
| sys.key.rotate | the entity, with its newest key | algorithm, public_key, proof |
| sys.key.revoke | the entity, or right `entity.register` | entity, key_version |
| sys.namespace.create | right `contract.register` | namespace |
| sys.contract.register | right `contract.register` | contract, version, source |

1. `public_key` and `proof` are hexadecimal; the proof is the new key's signature (see `key_proof`).
2. An entity registers another with no rights that it lacks itself. The first rights come from the
   genesis.
3. A new key is version N + 1 of an entity whose request was signed with version N. The old key stays
   valid until it is revoked, so requests under way are not lost. A revoked key stays revoked.
4. Contract versions are 1, 2, 3 ... and immutable; only the owner of one registers the next.
5. Who creates a namespace or registers a contract owns it: the contracts of an owner write his
   namespaces.
6. The caller is the entity that signed: contracts cannot invoke what is built in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from protocol.canonical_json import Value
from protocol.contracts.engine import ContractError
from protocol.contracts.names import (
    VERSION_MAX,
    contract_key,
    entity_key,
    is_free_name,
    namespace_key,
    public_key_key,
)
from protocol.contracts.source_scan import SourceRefusedError, scan_source
from protocol.contracts.transaction import CallFailed, Transaction
from protocol.limits import Limits

ENTITY_REGISTER = "entity.register"
"""Right to register entities, and to revoke anybody's keys."""

CONTRACT_REGISTER = "contract.register"
"""Right to register contracts and to create namespaces."""

RIGHTS = frozenset((ENTITY_REGISTER, CONTRACT_REGISTER))


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryCall:
    """Who calls a built-in contract, and what it may use."""

    transaction: Transaction
    entity: str
    key_version: int
    ledger_id: bytes
    limits: Limits
    compile: Callable[[str], object]


def _register_entity(call: RegistryCall, argument: Value) -> Value:
    entity, algorithm, key, proof, rights = _fields(
        argument, {"entity": str, "algorithm": str, "public_key": str, "proof": str}, {"rights": []}
    )
    own = _require_right(call, ENTITY_REGISTER)
    _require_name(call, entity)
    if call.transaction.get(entity_key(entity)) is not None:
        raise CallFailed("entity.exists")
    if not all(type(right) is str and right in RIGHTS for right in rights) or rights != sorted(set(rights)):
        raise CallFailed("contract.value")
    if not own.issuperset(rights):
        raise CallFailed("right.missing")
    call.transaction.put(entity_key(entity), {"rights": rights})
    return _add_key(call, entity, 1, algorithm, key, proof)


def _rotate_key(call: RegistryCall, argument: Value) -> Value:
    algorithm, key, proof = _fields(argument, {"algorithm": str, "public_key": str, "proof": str})
    return _add_key(call, call.entity, call.key_version + 1, algorithm, key, proof)


def _revoke_key(call: RegistryCall, argument: Value) -> Value:
    entity, key_version = _fields(argument, {"entity": str, "key_version": int})
    if entity != call.entity:
        _require_right(call, ENTITY_REGISTER)
    _require_name(call, entity)
    where = public_key_key(entity, key_version)
    key: Any = call.transaction.get(where)
    if key is None:
        raise CallFailed("entity.unknown")
    if key["status"] != "revoked":
        call.transaction.put(where, {**key, "status": "revoked"})
    return {"entity": entity, "key_version": key_version}


def _create_namespace(call: RegistryCall, argument: Value) -> Value:
    (namespace,) = _fields(argument, {"namespace": str})
    _require_right(call, CONTRACT_REGISTER)
    _require_name(call, namespace)
    where = namespace_key(namespace)
    if call.transaction.get(where) is not None:
        raise CallFailed("namespace.exists")
    call.transaction.put(where, {"owner": call.entity})
    return {"namespace": namespace}


def _register_contract(call: RegistryCall, argument: Value) -> Value:
    contract, version, source = _fields(argument, {"contract": str, "version": int, "source": str})
    _require_right(call, CONTRACT_REGISTER)
    _require_name(call, contract)
    if not 1 <= version < VERSION_MAX:
        raise CallFailed("contract.value")
    if version > 1:
        before: Any = call.transaction.get(contract_key(contract, version - 1))
        if before is None:
            raise CallFailed("contract.unknown")
        if before["owner"] != call.entity:
            raise CallFailed("right.missing")
    where = contract_key(contract, version)
    if call.transaction.get(where) is not None:
        raise CallFailed("contract.exists")
    try:
        scan_source(source, call.limits)
        call.compile(source)
    except (SourceRefusedError, ContractError):
        raise CallFailed("contract.source_refused") from None
    call.transaction.put(where, {"owner": call.entity, "source": source})
    return {"contract": contract, "version": version}


BUILT_IN: dict[str, Callable[[RegistryCall, Value], Value]] = {
    "sys.contract.register": _register_contract,
    "sys.entity.register": _register_entity,
    "sys.key.revoke": _revoke_key,
    "sys.key.rotate": _rotate_key,
    "sys.namespace.create": _create_namespace,
}
"""What each built-in contract does, by name; all are version 1, registered by the genesis."""


def _add_key(
    call: RegistryCall, entity: str, key_version: int, algorithm: str, key_hex: str, proof_hex: str
) -> Value:
    from protocol.contracts.key_proof import check_key_proof  # here, so that others do not load cryptography

    where = public_key_key(entity, key_version)
    if call.transaction.get(where) is not None:
        raise CallFailed("entity.exists")
    key, proof = _unhex(key_hex, "key.refused"), _unhex(proof_hex, "key.unproven")
    code = check_key_proof(call.ledger_id, entity, key_version, algorithm, key, proof)
    if code:
        raise CallFailed(code)
    call.transaction.put(where, public_key_value(algorithm, key))
    return {"entity": entity, "key_version": key_version}


def public_key_value(algorithm: str, key: bytes) -> dict[str, Value]:
    """The value of a public key's record while it is valid."""
    return {"algorithm": algorithm, "public_key": key.hex(), "status": "active"}


def _unhex(text: str, code: str) -> bytes:
    """Read lower-case hexadecimal, two digits a byte and nothing else."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise CallFailed(code) from None
    if data.hex() != text:
        raise CallFailed(code)
    return data


def _fields(
    argument: Value, required: dict[str, type], optional: dict[str, Value] | None = None
) -> list[Any]:
    """The fields of an argument, of these types and no others; an optional one is of its default's."""
    defaults = optional or {}
    if type(argument) is not dict or not argument.keys() <= required.keys() | defaults.keys():
        raise CallFailed("contract.value")
    values = []
    for name, kind in (required | {name: type(default) for name, default in defaults.items()}).items():
        value = argument.get(name, defaults.get(name))
        if type(value) is not kind:
            raise CallFailed("contract.value")
        values.append(value)
    return values


def _require_right(call: RegistryCall, right: str) -> frozenset[str]:
    """The rights of the caller, this one among them."""
    entity: Any = call.transaction.get(entity_key(call.entity))
    rights = frozenset(entity["rights"] if entity is not None else ())
    if right not in rights:
        raise CallFailed("right.missing")
    return rights


def _require_name(call: RegistryCall, name: str) -> None:
    if not is_free_name(name, call.limits):
        raise CallFailed("name.refused")
