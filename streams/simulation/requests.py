"""What simulated clients ask for: a hot record, transfers, ranges that grow and shrink, keys that change, and
requests that are to be turned away.
"""

import random
from typing import Any, NamedTuple

from protocol.contracts.key_proof import key_proof_input
from streams.simulation.founding import ADMIN, key_of


class Ask(NamedTuple):
    """A call to be made.

    Attributes:
        keys: the records it will touch, as far as its client says.
        codes: final rejections that would be right for it.
        must_fail: it may never be ordered.
    """

    contract: str
    argument: Any
    keys: tuple[tuple[str, str], ...] = ()
    codes: frozenset[str] = frozenset()
    must_fail: bool = False


class Asker:
    """Thinks of calls for one entity.

    Args:
        entity: who signs.
        ledger_id: which a new key's proof names.
        rng: of the run.
    """

    def __init__(self, entity: str, ledger_id: bytes, rng: random.Random) -> None:
        self._entity = entity
        self._ledger_id = ledger_id
        self._rng = rng
        self._opened = 0
        self._others = [f"{name}-0" for name in (ADMIN, "ann", "bob", "eve")]

    def next(self) -> Ask:
        """The next call."""
        if self._opened < 2:
            return self._open()
        return self._rng.choices(
            (self._transfer, self._put, self._delete, self._read, self._tally, self._open, self._wrong),
            (8, 5, 2, 2, 3, 1, 1),
        )[0]()

    def rotate(self, key_version: int) -> Ask:
        """Register the next key of the entity; `key_version` is the one that signs."""
        name = f"{self._entity} {key_version + 1}"
        key = key_of(name)
        point = key.public_key.key
        proof = key.sign(
            key_proof_input(self._ledger_id, self._entity, key_version + 1, "p256", point)
        )
        argument = {"algorithm": "p256", "public_key": point.hex(), "proof": proof.hex()}
        return Ask("sys.key.rotate", argument)

    def revoke(self, entity: str, key_version: int) -> Ask:
        """Revoke a key."""
        return Ask("sys.key.revoke", {"entity": entity, "key_version": key_version})

    def _open(self) -> Ask:
        account = f"{self._entity}-{self._opened}"
        self._opened += 1
        return Ask("account.open", {"account": account, "balance": 100}, (("bank", account),))

    def _transfer(self) -> Ask:
        source = f"{self._entity}-{self._rng.randrange(self._opened)}"
        target = self._rng.choice(self._others)
        argument = {"from": source, "to": target, "amount": self._rng.randint(1, 60)}
        hints = (("bank", source), ("bank", target))
        return Ask("transfer", argument, hints if self._rng.random() < 0.7 else ())

    def _object(self) -> str:
        return "hot" if self._rng.random() < 0.4 else f"k{self._rng.randrange(5)}"

    def _put(self) -> Ask:
        key = self._object()
        hints = (("object", key),) if self._rng.random() < 0.7 else ()
        return Ask("object.put", {"key": key, "value": {"by": self._entity, "n": self._rng.randrange(9)}}, hints)

    def _delete(self) -> Ask:
        return Ask("object.delete", {"key": self._object()})

    def _read(self) -> Ask:
        if self._rng.random() < 0.5:
            return Ask("object.get", {"key": self._object()})
        return Ask("object.history", {"key": self._object(), "limit": self._rng.randint(1, 3)})

    def _tally(self) -> Ask:
        start, end = self._rng.choice((("", ""), ("k1", ""), ("", "k3"), ("k2", "k4")))
        return Ask("tally", {"start": start, "end": end, "into": f"t{self._rng.randrange(2)}"})

    def _wrong(self) -> Ask:
        if self._rng.random() < 0.5:
            return Ask("nowhere", {}, codes=frozenset({"contract.unknown"}), must_fail=True)
        return Ask("forever", {}, codes=frozenset({"contract.resources"}), must_fail=True)
