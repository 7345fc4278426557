"""Names of entities, contracts and namespaces, keys of records, and where the registry keeps what.

Rules:

1. A name is ASCII: letters, digits and `_ . - @ +`, beginning with a letter, a digit or `_`. Without `/`,
   so no two names ever share a record of the registry; `sys` and what begins with `sys.` is nobody's.
2. A key is any text that is not empty and has no control characters.
3. Namespace `sys` holds, as canonical JSON: `entity/NAME` {rights}, `entity/NAME/key/N` {algorithm,
   public_key (hex), status}, `namespace/NAME` {owner}, `contract/NAME/N` {owner, source} or, for a
   built-in one, {built_in, owner}.
"""

import re
from functools import lru_cache
from typing import Final

from protocol.limits import Limits
from protocol.records import RecordKey

SYS: Final = "sys"
"""Namespace of the registry, and the owner of the contracts that are built in."""

VERSION_MAX: Final = 2**53 - 1
"""The greatest version of a key or a contract: an integer of canonical JSON."""

_is_name: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*").fullmatch
_has_control: Final = re.compile("[\x00-\x1f\x7f]").search
_NAMES_KEPT: Final = 1024
_is_contract: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*/[1-9][0-9]{0,15}").fullmatch


@lru_cache(_NAMES_KEPT)  # thousands of requests a second have the same few
def _is_well_formed(name: str) -> bool:
    return _is_name(name) is not None


def is_name(name: str, limits: Limits) -> bool:
    """Whether this may be the name of an entity, a contract or a namespace, the system's own among them."""
    return len(name) <= limits.name_bytes and _is_well_formed(name)


def is_free_name(name: str, limits: Limits) -> bool:
    """Whether somebody may register this name."""
    return is_name(name, limits) and name != SYS and not name.startswith("sys.")


def is_key(key: str, limits: Limits) -> bool:
    """Whether a record may have this key."""
    if not 0 < len(key) <= limits.key_bytes:
        return False
    if key.isascii():
        return key.isprintable()  # of ASCII, all but control characters
    return not _has_control(key) and len(key.encode()) <= limits.key_bytes


def is_contract(name_and_version: str, limits: Limits) -> bool:
    """Whether this is NAME/N, as `invoke` takes it."""
    return len(name_and_version) <= limits.name_bytes + 17 and _is_contract(name_and_version) is not None


def entity_key(entity: str) -> RecordKey:
    """Where an entity's rights are."""
    return RecordKey(SYS, f"entity/{entity}")


def public_key_key(entity: str, key_version: int) -> RecordKey:
    """Where a version of an entity's public key is."""
    return RecordKey(SYS, f"entity/{entity}/key/{key_version}")


def contract_key(contract: str, version: int) -> RecordKey:
    """Where a version of a contract is."""
    return RecordKey(SYS, f"contract/{contract}/{version}")


def namespace_key(namespace: str) -> RecordKey:
    """Where a namespace's owner is."""
    return RecordKey(SYS, f"namespace/{namespace}")
