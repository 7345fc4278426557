"""What the Auditor keeps in its store's cells, and what it starts with."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

from protocol.configuration import Epochs
from protocol.errors import CountersignError
from protocol.hashing import ZERO_HASH
from protocol.journal import Head

_POSITION: Final = struct.Struct(">Iqi")
_ORDER: Final = struct.Struct(">Q32s")
_REJECTION: Final = struct.Struct(">q32s")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderState:
    """Where ordering stands.

    Attributes:
        store_id: random bytes made when the store was created; the epoch's configuration names it.
        head: the Auditor's own journal, up to the last batch it ordered.
        order_hash: of the last order, zero before the first.
        ordered_at_ms: by which the last batch was judged, ordered or only rejected; it never falls.
        positions: next offset and last leader epoch, per partition of `requests`.
        rejection_number: of the last rejection batch of this epoch, -1 before the first.
        rejection_hash: of its header.
        decided: the last sequence that both parties have signed.
        stopped: why ordering has stopped for good, empty while it has not.
        replay_entries: requests in the replay guard.
    """

    store_id: bytes
    epoch: int
    head: Head
    order_hash: bytes
    ordered_at_ms: int
    positions: Mapping[int, tuple[int, int]]
    rejection_number: int
    rejection_hash: bytes
    decided: int
    stopped: str
    replay_entries: int = 0

    @property
    def sequence(self) -> int:
        """Of the last batch ordered, -1 before the first."""
        return self.head.sequence

    @classmethod
    def from_cells(cls, cells: Mapping[str, bytes], replay_entries: int) -> Self:
        """Read back what `cells` wrote.

        Raises:
            CountersignError: `store.damaged`, a cell is missing or not in our own form.
        """
        try:
            ordered_at_ms, order_hash = _ORDER.unpack(cells["order"])
            rejection_number, rejection_hash = _REJECTION.unpack(cells["rejection"])
            return cls(
                store_id=cells["store_id"],
                epoch=int.from_bytes(cells["epoch"], "big"),
                head=Head.from_bytes(cells["head"]),
                order_hash=order_hash,
                ordered_at_ms=ordered_at_ms,
                positions={
                    partition: (offset, leader_epoch)
                    for partition, offset, leader_epoch in _POSITION.iter_unpack(cells.get("positions", b""))
                },
                rejection_number=rejection_number,
                rejection_hash=rejection_hash,
                decided=read_sequence(cells["decided"]),
                stopped=cells.get("stopped", b"").decode(),
                replay_entries=replay_entries,
            )
        except (KeyError, ValueError, struct.error) as error:
            raise CountersignError("store.damaged", f"cells: {error!r}") from error

    @classmethod
    def start(cls, epochs: Epochs) -> Self:
        """The state of a new ledger, for the store that its configuration names."""
        return cls(
            store_id=epochs.latest.auditor_store_id,
            epoch=epochs.latest.epoch,
            head=Head.start(),
            order_hash=ZERO_HASH,
            ordered_at_ms=0,
            positions={},
            rejection_number=-1,
            rejection_hash=ZERO_HASH,
            decided=-1,
            stopped="",
        )

    def cells(self) -> dict[str, bytes]:
        """What ordering reads and writes; `decided` is the validating machine's and stands apart."""
        return {
            "epoch": self.epoch.to_bytes(8, "big"),
            "head": self.head.to_bytes(),
            "order": _ORDER.pack(self.ordered_at_ms, self.order_hash),
            "positions": b"".join(_POSITION.pack(p, *self.positions[p]) for p in sorted(self.positions)),
            "rejection": _REJECTION.pack(self.rejection_number, self.rejection_hash),
        }

    def expected(self) -> dict[str, bytes]:
        """The cells that must be unchanged for the next call: this store, this epoch, not stopped, nobody
        else ordered.
        """
        return {"store_id": self.store_id, "stopped": b"", **self.cells()}

    def with_decided(self, cells: Mapping[str, bytes]) -> Self:
        """The same state after the validating machine went on.

        Raises:
            CountersignError: `store.wiped`, the cell is gone.
        """
        if "decided" not in cells:
            raise CountersignError("store.wiped", "the store was emptied while this process used it")
        return replace(self, decided=read_sequence(cells["decided"]))


def write_sequence(sequence: int) -> bytes:
    """A sequence as a cell."""
    return sequence.to_bytes(8, "big", signed=True)


def read_sequence(cell: bytes) -> int:
    """The reverse of `write_sequence`."""
    return int.from_bytes(cell, "big", signed=True)


def initial_cells(epochs: Epochs) -> dict[str, bytes]:
    """The cells of a new Auditor's store, `store_id` aside."""
    return {
        **OrderState.start(epochs).cells(),
        "decided": write_sequence(-1),
        "delivered": write_sequence(-1),
    }
