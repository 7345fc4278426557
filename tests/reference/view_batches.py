"""Batches of view rows made from a plain description, with the versions a ledger would give."""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from storage.views import BlockRow, RequestRow, VersionRow, ViewPosition, ViewRows

LEDGER_ID = b"l" * 32
Write = tuple[str, bytes | None]
"""A key, and its value (None: it is deleted)."""
Request = Sequence[Write]
Update = Sequence[Request]
Block = Sequence[Update]


class Batches:
    """Makes batches of rows that follow each other."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self._sequence = 0
        self._block = 0

    def of(self, blocks: Sequence[Block]) -> tuple[ViewRows, ViewPosition]:
        """The rows of these blocks, and the position behind them."""
        requests: list[RequestRow] = []
        versions: list[VersionRow] = []
        rows: list[BlockRow] = []
        for block in blocks:
            rows.append(
                BlockRow(
                    block=self._block,
                    first_sequence=self._sequence,
                    count=len(block),
                    epoch=0,
                    root=sha256(b"%d" % self._block).digest(),
                    learned_at_ms=1_790_000_000_500 + self._block,
                )
            )
            for update in block:
                for index, request in enumerate(update):
                    requests.append(self._request(index))
                    versions.extend(self._write(index, write) for write in request)
                self._sequence += 1
            self._block += 1
        position = ViewPosition(self._sequence - 1, b"state %d" % self._sequence)
        return ViewRows(requests=requests, versions=versions, blocks=rows), position

    def _request(self, index: int) -> RequestRow:
        sequence = self._sequence
        at_ms = 1_790_000_000_000 + sequence
        argument = b'{"n":%d}' % index
        caller = (_request_id(sequence, index), sequence, index, b"alice", b"put", 1)
        if index == 2:
            return (*caller, "failed", b"contract.failed", "zu früh".encode(), at_ms, argument, None)
        return (*caller, "ok", b"", b"", at_ms, argument, b"null")

    def _write(self, index: int, write: Write) -> VersionRow:
        key, value = write
        version = self._versions[key] = self._versions.get(key, 0) + 1
        request_id = _request_id(self._sequence, index)
        record_hash = sha256(key.encode() + b"%d" % version).digest()
        deleted = value is None
        place = (self._sequence, index, request_id)
        return (b"object", key.encode(), version, deleted, value, record_hash, *place)


def counted() -> Iterator[tuple[ViewRows, ViewPosition]]:
    """Batches without end, the same each time: what a process writes that is killed, and what it should have."""
    batches = Batches()
    number = 0
    while True:
        blocks = [
            [[[(f"key {(number + n) % 7}", b"%d" % number)] for n in range(3)] for _ in range(2)]
            for _ in range(1 + number % 3)
        ]
        yield batches.of(blocks)
        number += 1


def _request_id(sequence: int, index: int) -> bytes:
    return sha256(b"%d/%d" % (sequence, index)).digest()
