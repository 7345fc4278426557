"""What the Ledger keeps in its store's cells, and what it starts with."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from protocol.configuration import Epochs
from protocol.errors import CountersignError
from protocol.hashing import ZERO_HASH
from protocol.journal import Head
from storage.effects import FIRST_OFFSET, Position
from storage.errors import StoreAbsentError

_POSITION: Final = struct.Struct(">qi")
_ORDER: Final = struct.Struct(">Q32s")

NOWHERE: Final = (FIRST_OFFSET, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitState:
    """Where committing stands.

    Attributes:
        head: the Ledger's own journal, up to the last batch it committed.
        order_hash: of the last order it acted upon, zero before the first.
        ordered_at_ms: of that order.
        verified: the last sequence whose decision, with the Auditor's signature, it has seen.
        orders, decisions: next offset and leader epoch in these topics.
        stopped: why committing has stopped for good, empty while it has not.
    """

    store_id: bytes
    epoch: int
    head: Head
    order_hash: bytes
    ordered_at_ms: int
    verified: int
    orders: tuple[int, int]
    decisions: tuple[int, int]
    stopped: str

    @property
    def sequence(self) -> int:
        """Of the last batch committed, -1 before the first."""
        return self.head.sequence

    @classmethod
    def from_cells(cls, cells: Mapping[str, bytes]) -> Self:
        """Read back what `cells` wrote.

        Raises:
            StoreAbsentError: the store was made, and nothing is in it yet.
            CountersignError: `store.damaged`, a cell is missing or not in our own form.
        """
        if "head" not in cells:
            raise StoreAbsentError("it was made, and not filled")
        try:
            ordered_at_ms, order_hash = _ORDER.unpack(cells["order"])
            return cls(
                store_id=cells["store_id"],
                epoch=int.from_bytes(cells["epoch"], "big"),
                head=Head.from_bytes(cells["head"]),
                order_hash=order_hash,
                ordered_at_ms=ordered_at_ms,
                verified=int.from_bytes(cells["verified"], "big", signed=True),
                orders=_POSITION.unpack(cells["orders"]),
                decisions=_POSITION.unpack(cells["decisions"]),
                stopped=cells.get("stopped", b"").decode(),
            )
        except (KeyError, ValueError, struct.error) as error:
            raise CountersignError("store.damaged", f"cells: {error!r}") from error

    @classmethod
    def start(cls, epochs: Epochs, store_id: bytes) -> Self:
        """The state of a new ledger."""
        return cls(
            store_id=store_id,
            epoch=epochs.latest.epoch,
            head=Head.start(),
            order_hash=ZERO_HASH,
            ordered_at_ms=0,
            verified=-1,
            orders=NOWHERE,
            decisions=NOWHERE,
            stopped="",
        )

    def cells(self) -> dict[str, bytes]:
        """What committing writes."""
        return {
            "epoch": self.epoch.to_bytes(8, "big"),
            "head": self.head.to_bytes(),
            "order": _ORDER.pack(self.ordered_at_ms, self.order_hash),
            "verified": self.verified.to_bytes(8, "big", signed=True),
            "orders": _POSITION.pack(*self.orders),
            "decisions": _POSITION.pack(*self.decisions),
        }

    def expected(self) -> dict[str, bytes]:
        """The cells that must be unchanged for the next call: this store, this epoch, not stopped, nobody
        else committed.
        """
        mine = self.cells()
        return {
            "store_id": self.store_id,
            "stopped": b"",
            "epoch": mine["epoch"],
            "head": mine["head"],
        }

    def positions(self) -> tuple[Position, Position]:
        """Where to read on."""
        return Position("orders", 0, *self.orders), Position("decisions", 0, *self.decisions)


def initial_cells(epochs: Epochs, store_id: bytes) -> dict[str, bytes]:
    """The cells of a new Ledger's store, `store_id` aside."""
    return CommitState.start(epochs, store_id).cells()
