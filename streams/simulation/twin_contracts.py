"""The contracts of the simulation once more, in plain Python: what the twin expects of a call.

They say nothing about versions, hashes or how records are fetched; a mistake of the machines or of the engine
cannot be repeated here.
"""

import json
from collections.abc import Callable
from typing import Any, Protocol

Json = Any


class Failed(Exception):  # noqa: N818  # an outcome
    """The call fails with this code and text."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


class State(Protocol):
    """The records as one call sees them."""

    def get(self, namespace: str, key: str) -> Json:
        """The value, None if there is none."""
        ...

    def put(self, namespace: str, key: str, value: Json) -> None:
        """Write when the call ends well; None deletes."""
        ...

    def rows(self, namespace: str, start: str, end: str, limit: int) -> list[tuple[str, Json]]:
        """The first `limit` keys of a range with their values; None where deleted."""
        ...

    def history(self, namespace: str, key: str, limit: int) -> list[tuple[int, Json]]:
        """The newest versions with their values, from new to old."""
        ...


class Caller:
    """Who calls: entity and key version."""

    def __init__(self, entity: str, key_version: int) -> None:
        self.entity = entity
        self.key_version = key_version


Contract = Callable[[State, Caller, Json], Json]


def _open(state: State, caller: Caller, argument: Json) -> Json:
    account, balance = argument["account"], argument["balance"]
    if state.get("bank", account) is not None:
        raise Failed("contract.failed", "the account exists")
    state.put("bank", account, {"balance": balance, "owner": caller.entity})


def _transfer(state: State, caller: Caller, argument: Json) -> Json:
    source_name, target_name, amount = argument["from"], argument["to"], argument["amount"]
    if source_name == target_name:
        raise Failed("contract.failed", "both accounts are the same")
    source, target = state.get("bank", source_name), state.get("bank", target_name)
    if source is None or target is None:
        raise Failed("contract.failed", "no such account")
    if source["owner"] != caller.entity:
        raise Failed("contract.failed", "the account belongs to somebody else")
    if source["balance"] < amount:
        raise Failed("contract.failed", "the balance is too small")
    state.put("bank", source_name, {**source, "balance": source["balance"] - amount})
    state.put("bank", target_name, {**target, "balance": target["balance"] + amount})
    return {"from": source["balance"] - amount, "to": target["balance"] + amount}


def _put(state: State, _caller: Caller, argument: Json) -> Json:
    state.put("object", argument["key"], argument["value"])


def _get(state: State, _caller: Caller, argument: Json) -> Json:
    return state.get("object", argument["key"])


def _delete(state: State, _caller: Caller, argument: Json) -> Json:
    if state.get("object", argument["key"]) is None:
        raise Failed("contract.failed", "no such object")
    state.put("object", argument["key"], None)


def _history(state: State, _caller: Caller, argument: Json) -> Json:
    versions = state.history("object", argument["key"], argument["limit"])
    return [{"version": number, "deleted": value is None, "value": value} for number, value in versions]


def _tally(state: State, _caller: Caller, argument: Json) -> Json:
    rows = state.rows("object", argument["start"], argument["end"], 2)
    count = len([value for _, value in rows if value is not None])
    state.put("tally", argument["into"], count)
    return count


def _rotate(state: State, caller: Caller, argument: Json) -> Json:
    where = f"entity/{caller.entity}/key/{caller.key_version + 1}"
    if state.get("sys", where) is not None:
        raise Failed("entity.exists")
    key = {"algorithm": argument["algorithm"], "public_key": argument["public_key"], "status": "active"}
    state.put("sys", where, key)
    return {"entity": caller.entity, "key_version": caller.key_version + 1}


def _revoke(state: State, caller: Caller, argument: Json) -> Json:
    rights = state.get("sys", f"entity/{caller.entity}")["rights"]
    if argument["entity"] != caller.entity and "entity.register" not in rights:
        raise Failed("right.missing")
    where = f"entity/{argument['entity']}/key/{argument['key_version']}"
    key = state.get("sys", where)
    if key is None:
        raise Failed("entity.unknown")
    if key["status"] != "revoked":
        state.put("sys", where, {**key, "status": "revoked"})
    return argument


CONTRACTS: dict[str, Contract] = {
    "account.open": _open,
    "object.delete": _delete,
    "object.get": _get,
    "object.history": _history,
    "object.put": _put,
    "sys.key.revoke": _revoke,
    "sys.key.rotate": _rotate,
    "tally": _tally,
    "transfer": _transfer,
}


def canonical(value: Json) -> bytes:
    """Canonical JSON, by Python's own library: right for what these contracts write."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
