"""Hashing and a look at JSON, in C where set-up compiled it (`deploy.compiled`); elsewhere the twins in Python do all.

| here | twin |
|---|---|
| `tagged` | `protocol.hashing.tagged`, with the domain's first bytes |
| `merkle_root` | `protocol.merkle.root` |
| `path_root` | `protocol.merkle.root_from_path`; None where that one raises |
| `record_hash` | `protocol.records.record_hash` |
| `is_canonical` | `protocol.canonical_json.loads`; False where that one raises, or might |
| `attachments_hold` | `learners.updates.check_attachments`; False where that one raises, or might |
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Final, Protocol, cast


class Native(Protocol):
    """The functions of the module in C.

    They take bytes and tuples, names and JSON as text too, and a tree's leaves in a list.
    All raise TypeError for other arguments and MemoryError; `record_hash` ValueError and OverflowError too.
    """

    def tagged(self, head: bytes, parts: tuple[bytes, ...], /) -> bytes:
        """SHA-256(head || u32 count || (u64 len || part)*)."""
        ...

    def merkle_root(self, leaves: Sequence[bytes], /) -> bytes:
        """The root over raw leaves."""
        ...

    def path_root(self, leaf: bytes, index: int, count: int, path: tuple[bytes, ...], /) -> bytes | None:
        """The root that a path leads to; None if it is not of the one form."""
        ...

    def record_hash(
        self,
        ledger_id: bytes,
        namespace: str | bytes,
        name: str | bytes,
        version: int,
        deleted: bool,
        value: bytes,
        request_id: bytes,
        previous_hash: bytes,
        /,
    ) -> bytes:
        """The hash of one version of a record."""
        ...

    def is_canonical(self, text: str | bytes, /) -> bool:
        """Whether a text is canonical JSON for sure; False leaves that to the twin."""
        ...

    def attachments_hold(
        self,
        ledger_id: bytes,
        outcomes: tuple[bytes, ...],
        outputs: tuple[bytes, ...],
        values: tuple[bytes, ...],
        /,
    ) -> bool:
        """Whether outputs and values are those that verified outcomes pin; False leaves that to the twin."""
        ...


def _find() -> Native | None:
    try:
        return cast(Native, import_module("protocol.native._hashes"))
    except ImportError:
        return None


NATIVE: Final = _find()
