"""The registry: who may register what, and what a key must prove."""

from typing import Any

import pytest

from protocol.canonical_json import dumps, loads
from protocol.contracts.calls import Execution, Rejected
from protocol.contracts.genesis import (
    GENERIC_CONTRACTS,
    GENERIC_NAMESPACES,
    generic_source,
    genesis_records,
    genesis_versions,
)
from protocol.contracts.names import contract_key, namespace_key, public_key_key
from protocol.contracts.registry import BUILT_IN, RIGHTS
from protocol.records import RecordKey, verify_record
from schemas.epoch import Administrator
from tests.unit.protocol.contract_world import LEDGER_ID, World, call, proof_fields, signing_key

SOURCE = "def execute(argument):\n    return argument\n"


@pytest.fixture
def world() -> World:
    """A ledger with alice, who has no rights, and carol, who may register contracts."""
    made = World()
    made.enrol("alice")
    made.enrol("carol", ["contract.register"])
    return made


def entity(name: str, **other: Any) -> dict[str, Any]:
    return {"entity": name, **proof_fields(name), **other}


# --- genesis ---


def test_genesis_records() -> None:
    """Administrator, rights, key, namespaces and contracts, in order, each version 1 of sequence -1."""
    administrators = [
        Administrator("admin", signing_key("admin").public_key, ("entity.register", "contract.register")),
        Administrator("second", signing_key("second", algorithm="p256").public_key, ()),
    ]
    records = genesis_records(administrators)
    values = dict(records)
    assert list(values) == sorted(values)
    assert values[RecordKey("sys", "entity/admin")] == b'{"rights":["contract.register","entity.register"]}'
    assert loads(values[public_key_key("second", 1)]) == {
        "algorithm": "p256",
        "public_key": administrators[1].key.key.hex(),
        "status": "active",
    }
    assert {key for key in values if key.key.startswith("namespace/")} == {
        namespace_key(namespace) for namespace in GENERIC_NAMESPACES
    }
    for namespace in GENERIC_NAMESPACES:
        assert values[namespace_key(namespace)] == b'{"owner":"admin"}', "the first administrator's"
    for contract in GENERIC_CONTRACTS:
        assert loads(values[contract_key(contract, 1)]) == {"owner": "admin", "source": generic_source(contract)}
    for contract in BUILT_IN:
        assert loads(values[contract_key(contract, 1)]) == {"built_in": contract, "owner": "sys"}
    contracts = {key for key in values if key.key.startswith("contract/")}
    assert contracts == {contract_key(contract, 1) for contract in (*BUILT_IN, *GENERIC_CONTRACTS)}
    for index, (key, record) in enumerate(genesis_versions(LEDGER_ID, records)):
        verify_record(LEDGER_ID, key, record)
        assert (record.version, record.writer_sequence, record.writer_index) == (1, -1, index)
        assert record.value == dumps(loads(record.value)) == values[key]


def test_another_ledger_has_other_hashes() -> None:
    """The same records never chain to another ledger's."""
    records = genesis_records([Administrator("admin", signing_key("admin").public_key, tuple(RIGHTS))])
    first, second = (genesis_versions(ledger_id, records) for ledger_id in (LEDGER_ID, bytes(32)))
    assert {r.record_hash for _, r in first}.isdisjoint(r.record_hash for _, r in second)


# --- entities and keys ---


@pytest.mark.parametrize("algorithm", ["p256", "ed25519"])
def test_register_an_entity(algorithm: Any) -> None:
    """It can sign from the next call of the batch on."""
    world = World()
    argument: dict[str, Any] = {"entity": "dave", **proof_fields("dave", algorithm=algorithm)}
    early, registered, late = world.run(
        call("object.put", {"key": "a", "value": 1}, "dave"),
        call("sys.entity.register", argument),
        call("object.put", {"key": "a", "value": 2}, "dave"),
    )
    assert isinstance(early, Rejected)
    assert early.code == "entity.unknown"
    assert isinstance(registered, Execution)
    assert registered.output == b'{"entity":"dave","key_version":1}'
    assert isinstance(late, Execution)
    assert (late.status, world.value("object", "a")) == ("ok", b"2")
    assert world.value("sys", "entity/dave") == b'{"rights":[]}'


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"proof": "00" * 64}, "key.unproven"),
        ({"proof": ""}, "key.unproven"),
        ({"proof": "xy"}, "key.unproven"),
        ({"proof": proof_fields("other")["proof"]}, "key.unproven"),
        ({"proof": proof_fields("dave", 2)["proof"]}, "key.unproven"),
        ({"proof": proof_fields("dave", ledger_id=bytes(32))["proof"]}, "key.unproven"),
        ({"proof": proof_fields("dave")["proof"].upper()}, "key.unproven"),
        ({"public_key": "01" + "00" * 31}, "key.refused"),  # the identity, under which anything verifies
        ({"public_key": "00" * 32}, "key.refused"),
        ({"public_key": "00"}, "key.refused"),
        ({"public_key": " " + proof_fields("dave")["public_key"]}, "key.refused"),
        ({"algorithm": "rsa"}, "key.refused"),
        ({"algorithm": "p256"}, "key.refused"),
        ({"entity": "sys"}, "name.refused"),
        ({"entity": "sys.x"}, "name.refused"),
        ({"entity": "a/b"}, "name.refused"),
        ({"entity": ""}, "name.refused"),
        ({"entity": "é"}, "name.refused"),
        ({"entity": "a" * 129}, "name.refused"),
        ({"entity": "alice"}, "entity.exists"),
        ({"entity": 5}, "contract.value"),
        ({"extra": 5}, "contract.value"),
        ({"rights": "entity.register"}, "contract.value"),
        ({"rights": ["all"]}, "contract.value"),
        ({"rights": [["all"]]}, "contract.value"),
        ({"rights": ["entity.register", "contract.register"]}, "contract.value"),  # not sorted
        ({"rights": ["entity.register", "entity.register"]}, "contract.value"),
    ],
)
def test_refused_entities(world: World, change: dict[str, Any], code: str) -> None:
    """A key or a name that is none, a proof of something else: each its code, nothing written."""
    result = world.do("sys.entity.register", entity("dave") | change)
    assert (result.status, result.code, result.fail_text) == ("failed", code, "")
    assert world.value("sys", "entity/dave") is None


def test_arguments_of_another_shape(world: World) -> None:
    """Missing fields, and no object at all."""
    arguments: tuple[Any, ...] = (None, [], "x", 5, {}, {"entity": "dave"})
    for argument in arguments:
        for contract in BUILT_IN:
            assert world.do(contract, argument).code == "contract.value"


@pytest.mark.parametrize("name", ["a/key/1", "", "sys", "admin/key/1/x"])
def test_a_key_is_revoked_by_a_name(world: World, name: str) -> None:
    """What is no name is refused as such, whatever record it would lead to."""
    assert world.do("sys.key.revoke", {"entity": name, "key_version": 1}).code == "name.refused"


def test_numbers_that_are_none(world: World) -> None:
    """True is no version, and the greatest integer none that could be followed."""
    assert world.do("sys.key.revoke", {"entity": "admin", "key_version": True}).code == "contract.value"
    source = "def execute(argument):\n    return 1\n"
    for version in (True, 0, -1, 2**53 - 1):
        argument = {"contract": "fresh", "version": version, "source": source}
        assert world.do("sys.contract.register", argument).code == "contract.value"
    argument = {"contract": "fresh", "version": 2**53 - 2, "source": source}
    assert world.do("sys.contract.register", argument).code == "contract.unknown"


def test_registering_needs_the_right(world: World) -> None:
    """Which others can be given by who has it, and no more than that."""
    assert world.do("sys.entity.register", entity("dave"), "alice").code == "right.missing"
    assert world.do("sys.entity.register", entity("dave"), "carol").code == "right.missing"
    world.enrol("registrar", ["entity.register"])
    greedy = entity("dave", rights=["contract.register"])
    assert world.do("sys.entity.register", greedy, "registrar").code == "right.missing"
    assert world.do("sys.entity.register", entity("dave"), "registrar").status == "ok"


def test_rotate_a_key(world: World) -> None:
    """With the newest key; both are valid until the old one is revoked."""
    argument: dict[str, Any] = proof_fields("alice", 2)
    assert world.do("sys.key.rotate", argument, "alice").output == b'{"entity":"alice","key_version":2}'
    for version in (1, 2):
        assert world.do("object.get", {"key": "a"}, "alice", key_version=version).status == "ok"
    assert world.do("sys.key.rotate", proof_fields("alice", 2), "alice").code == "entity.exists"
    assert world.do("sys.key.rotate", proof_fields("alice", 2), "alice", key_version=2).code == "key.unproven"
    assert world.do("sys.key.rotate", proof_fields("alice", 3), "alice", key_version=2).status == "ok"


def test_rotation_is_ones_own(world: World) -> None:
    """Nobody adds a key to another entity, the administrator neither."""
    assert (
        world.do("sys.key.rotate", {"entity": "alice", **proof_fields("alice", 2)}).code == "contract.value"
    )
    assert world.do("sys.key.rotate", proof_fields("alice", 2)).code == "key.unproven"


def test_revocation_and_use_in_one_batch(world: World) -> None:
    """In either order: before it the key is good, after it is not; the reads say which version."""
    use = call("object.put", {"key": "a", "value": 1}, "alice")
    revoke = call("sys.key.revoke", {"entity": "alice", "key_version": 1}, "alice")
    used_first = world.executor.run(world.batch(use, revoke), world)
    assert [result.code for result in used_first] == ["", ""]
    assert used_first[0].reads[0].version == 1
    revoked, rejected = world.executor.run(world.batch(revoke, use), world)
    assert revoked.code == ""
    assert isinstance(rejected, Rejected)
    assert (rejected.code, rejected.final) == ("entity.key_revoked", True)
    assert rejected.reads[0][:5] == ("sys", "entity/alice/key/1", 2, world.sequence, 0)


def test_revoked_for_good(world: World) -> None:
    """Revoking again changes nothing; the key itself stays on record."""
    for _ in range(2):
        assert world.do("sys.key.revoke", {"entity": "alice", "key_version": 1}).status == "ok"
    record = world.current(public_key_key("alice", 1))
    assert record.version == 2
    assert loads(record.value) == {
        "algorithm": "ed25519",
        "public_key": proof_fields("alice")["public_key"],
        "status": "revoked",
    }


def test_who_revokes(world: World) -> None:
    """The entity itself with any of its keys, or a registrar."""
    argument = {"entity": "alice", "key_version": 1}
    assert world.do("sys.key.revoke", argument, "carol").code == "right.missing"
    assert world.do("sys.key.revoke", {"entity": "nobody", "key_version": 1}).code == "entity.unknown"
    assert world.do("sys.key.revoke", {"entity": "alice", "key_version": 7}, "alice").code == "entity.unknown"
    world.do("sys.key.rotate", proof_fields("alice", 2), "alice")
    assert world.do("sys.key.revoke", argument, "alice", key_version=2).status == "ok"
    assert world.do("sys.key.revoke", {"entity": "alice", "key_version": 2}).status == "ok"


# --- namespaces and contracts ---


def test_namespaces(world: World) -> None:
    """Created once, by who may register contracts."""
    assert world.do("sys.namespace.create", {"namespace": "mine"}, "alice").code == "right.missing"
    assert world.do("sys.namespace.create", {"namespace": "mine"}, "carol").status == "ok"
    assert world.value("sys", "namespace/mine") == b'{"owner":"carol"}'
    assert world.do("sys.namespace.create", {"namespace": "mine"}).code == "namespace.exists"
    assert world.do("sys.namespace.create", {"namespace": "object"}).code == "namespace.exists"
    for name in ("sys", "sys.x", "a/b", "", "-a", "a b"):
        assert world.do("sys.namespace.create", {"namespace": name}).code == "name.refused"


def test_contract_versions(world: World) -> None:
    """1, 2, 3 ..., immutable, all of one owner; the request says which one runs."""

    def register(version: int, source: str = SOURCE, by: str = "carol", contract: str = "c") -> str:
        argument = {"contract": contract, "source": source, "version": version}
        return world.do("sys.contract.register", argument, by).code

    assert register(1, by="alice") == "right.missing"
    assert register(2) == "contract.unknown"
    assert register(0) == "contract.value"
    assert register(1) == ""
    assert register(1) == "contract.exists"
    assert register(2, by="admin") == "right.missing"
    assert register(2, "def execute(argument):\n    return 'two'\n") == ""
    assert register(1, contract="sys.mine") == "name.refused"
    assert register(1, contract="c/1") == "name.refused"
    assert world.do("c", "x").output == b'"x"'
    assert world.do("c", "x", contract_version=2).output == b'"two"'
    assert loads(world.value("sys", "contract/c/1") or b"") == {"owner": "carol", "source": SOURCE}


@pytest.mark.parametrize(
    "source",
    [
        "",
        "def execute(argument):\n    return\n  1\n",
        "def execute(argument):\n    while True:\n        pass\n",
        "def execute(argument):\n    return missing\n",
        "A = B\n" + SOURCE,
        "def execute(argument):\n    return 1.5\n",
        "load('x', 'y')\n" + SOURCE,
        f"def execute(argument):\n    return {'[' * 2400}{']' * 2400}\n",
        f"def execute(argument):\n    return {'-' * 1000}1\n",
        "execute = 5\ndef run(argument):\n    return 1\n",
    ],
)
def test_refused_sources(world: World, source: str) -> None:
    """What the scan or the engine refuses is one code, and registers nothing."""
    result = world.do("sys.contract.register", {"contract": "c", "source": source, "version": 1})
    assert (result.code, result.fail_text) == ("contract.source_refused", "")
    assert world.value("sys", "contract/c/1") is None


def test_contracts_that_are_built_in_cannot_be_invoked(world: World) -> None:
    """So no contract acts in the name of the entity that calls it."""
    world.register(
        "def execute(argument):\n    return invoke('sys.namespace.create/1', {'namespace': 'theirs'})\n"
    )
    assert world.do("test", None).code == "contract.value"
    assert world.value("sys", "namespace/theirs") is None


# --- the generic contracts ---


def test_objects(world: World) -> None:
    """Put, get, history and delete."""
    assert world.do("object.put", {"key": "a", "value": [1]}, "alice").output == b"null"
    world.do("object.put", {"key": "a", "value": [2]}, "alice")
    assert world.do("object.get", {"key": "a"}).output == b"[2]"
    assert world.do("object.get", {"key": "b"}).output == b"null"
    assert world.do("object.delete", {"key": "b"}).fail_text == "no such object"
    assert world.do("object.delete", {"key": "a"}).status == "ok"
    history = loads(world.do("object.history", {"key": "a", "limit": 2}).output)
    assert history == [
        {"deleted": True, "value": None, "version": 3},
        {"deleted": False, "value": [2], "version": 2},
    ]


def test_transfer(world: World) -> None:
    """Balances move, never below zero, and only at the owner's word."""
    for name, owner in (("a", "alice"), ("c", "carol")):
        assert world.do("account.open", {"account": name, "balance": 10}, owner).status == "ok"
    assert (
        world.do("transfer", {"amount": 4, "from": "a", "to": "c"}, "alice").output == b'{"from":6,"to":14}'
    )
    assert world.value("bank", "c") == b'{"balance":14,"owner":"carol"}'
    for argument, who, text in [
        ({"amount": 7, "from": "a", "to": "c"}, "alice", "the balance is too small"),
        ({"amount": 0, "from": "a", "to": "c"}, "alice", "the amount is not a whole number above 0"),
        ({"amount": -1, "from": "a", "to": "c"}, "alice", "the amount is not a whole number above 0"),
        ({"amount": "1", "from": "a", "to": "c"}, "alice", "the amount is not a whole number above 0"),
        ({"amount": 1, "from": "a", "to": "a"}, "alice", "both accounts are the same"),
        ({"amount": 1, "from": "a", "to": "b"}, "alice", "no such account"),
        ({"amount": 1, "from": "a", "to": "c"}, "carol", "the account belongs to somebody else"),
    ]:
        result = world.do("transfer", argument, who)
        assert (result.code, result.fail_text, result.writes) == ("contract.failed", text, ())
    assert world.do("account.open", {"account": "a", "balance": 1}).fail_text == "the account exists"
    assert world.do("account.open", {"account": "x", "balance": -1}).code == "contract.failed"


def test_no_contract_takes_from_its_callers_account(world: World) -> None:
    """The owner's word is that of the immediate caller: a contract he was lured into has none."""
    world.do("account.open", {"account": "a", "balance": 10}, "alice")
    world.do("account.open", {"account": "c", "balance": 0}, "carol")
    world.register(
        "def execute(argument):\n    invoke('transfer/1', {'amount': 10, 'from': 'a', 'to': 'c'})\n",
        "free.gift",
        entity="carol",
    )
    assert world.do("free.gift", None, "alice").fail_text == "the account belongs to somebody else"
