"""What the generic contracts `account.open`, `transfer` and `object.put` do, in plain Python."""

from typing import Any

import orjson


class BankModel:
    """Executes one call after the other."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[str, Any]] = {}
        self._objects: dict[str, Any] = {}

    def execute(self, contract: str, argument: Any) -> tuple[str, Any]:
        """Status and output of a call."""
        if contract == "object.put":
            self._objects[argument["key"]] = argument["value"]
            return "ok", None
        if contract == "account.open":
            self._accounts[argument["account"]] = {"balance": argument["balance"], "owner": "admin"}
            return "ok", None
        assert contract == "transfer"
        source, target = self._accounts[argument["from"]], self._accounts[argument["to"]]
        if source["balance"] < argument["amount"]:
            return "failed", None
        source["balance"] -= argument["amount"]
        target["balance"] += argument["amount"]
        return "ok", {"from": source["balance"], "to": target["balance"]}

    def records(self) -> dict[tuple[str, str], str]:
        """Canonical JSON of each current record, by namespace and key."""
        accounts = {("bank", key): value for key, value in self._accounts.items()}
        objects = {("object", key): value for key, value in self._objects.items()}
        return {where: orjson.dumps(value).decode() for where, value in (accounts | objects).items()}
