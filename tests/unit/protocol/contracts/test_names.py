"""Names and keys at their bounds, and the registry's records, of which no two names share one."""

import pytest

from protocol.contracts.names import (
    contract_key,
    entity_key,
    is_contract,
    is_free_name,
    is_key,
    is_name,
    namespace_key,
    public_key_key,
)
from protocol.limits import Limits
from protocol.records import RecordKey

LIMITS = Limits.tiny()
LONGEST = "n" * LIMITS.name_bytes
LONGEST_KEY = "k" * LIMITS.key_bytes

NAMES = ("a", "Z", "0", "_", "a.b", "a-b", "a_b", "a@b", "a+b", "9.", "sys", "sys.key.rotate", LONGEST)
NO_NAMES = (
    "",
    ".a",
    "-a",
    "@a",
    "+a",
    "a/b",
    "a b",
    "a\n",
    "a\0",
    "a:b",
    "é",
    "a\u0661",  # a digit, but not of ASCII
    LONGEST + "n",
)


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    """ASCII letters, digits and `_ . - @ +`, up to the limit."""
    assert is_name(name, LIMITS)


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name(name: str) -> None:
    """Another beginning, another character, a newline at the end, a character too many."""
    assert not is_name(name, LIMITS)
    assert not is_free_name(name, LIMITS)


def test_the_systems_own_names_are_nobodys() -> None:
    """`sys` and what begins with `sys.`; but not whatever begins with these letters."""
    assert not any(is_free_name(name, LIMITS) for name in ("sys", "sys.", "sys.key", "sys.a.b"))
    assert all(is_free_name(name, LIMITS) for name in ("system", "sys_", "sys-a", "a.sys", "Sys", LONGEST))


@pytest.mark.parametrize("key", ["a", " ", "/", "é😀", "a\u0085b", LONGEST_KEY, "é" * (LIMITS.key_bytes // 2)])
def test_keys(key: str) -> None:
    """Any text without control characters, up to the limit in bytes of UTF-8."""
    assert is_key(key, LIMITS)


NO_KEYS = (
    "",
    "\0",
    "a\x1f",
    "\x7fa",
    "a\nb",
    LONGEST_KEY + "k",
    "é" * (LIMITS.key_bytes // 2) + "a",
    "é" * LIMITS.key_bytes,
)


@pytest.mark.parametrize("key", NO_KEYS)
def test_what_is_no_key(key: str) -> None:
    """Nothing, a control character, a byte too many though not a character."""
    assert not is_key(key, LIMITS)


@pytest.mark.parametrize("contract", ["a/1", "sys.key.rotate/1", f"{LONGEST}/1234567890123456", "a/10"])
def test_contracts_to_invoke(contract: str) -> None:
    """NAME/N, with up to 16 digits."""
    assert is_contract(contract, LIMITS)


@pytest.mark.parametrize(
    "contract",
    [
        "",
        "a",
        "a/",
        "/1",
        "a/0",
        "a/01",
        "a/-1",
        "a/1/2",
        "a/1 ",
        "a/1\n",
        "a/\u0661",
        "a/12345678901234567",
        LONGEST + "n/1234567890123456",
    ],
)
def test_what_cannot_be_invoked(contract: str) -> None:
    """No version, one in a second form, one that no contract can have, too long a name."""
    assert not is_contract(contract, LIMITS)


def test_where_the_registry_keeps_what() -> None:
    """All in `sys`; a name has no slash, so no two records share a place."""
    places = [
        entity_key("a"),
        public_key_key("a", 1),
        public_key_key("a", 11),
        contract_key("a", 1),
        contract_key("a", 11),
        namespace_key("a"),
    ]
    assert places == [
        RecordKey("sys", "entity/a"),
        RecordKey("sys", "entity/a/key/1"),
        RecordKey("sys", "entity/a/key/11"),
        RecordKey("sys", "contract/a/1"),
        RecordKey("sys", "contract/a/11"),
        RecordKey("sys", "namespace/a"),
    ]
