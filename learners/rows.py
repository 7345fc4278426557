"""From verified updates to what a learner shows: rows of its views, and messages of its change feed.

Rules:

1. Only verified updates come here; what is wrong with them now is a bug, or a lie of both parties.
2. Rows are gathered over many blocks: a transaction costs the views as much as a thousand rows. A batch is
   due when it is large enough, or its oldest block has waited long enough.
3. The feed's message of an update says what its rows say. It is published before they are stored, so a crash
   repeats messages and loses none: whoever reads `learned` drops the sequences he has.
"""

from collections.abc import Sequence

from protocol.contracts.genesis import genesis_versions
from protocol.limits import MIB
from protocol.records import RecordKey
from schemas.epoch import Genesis
from schemas.errors import MalformedMessageError
from schemas.slices import (
    OutcomeSlices,
    join_learned,
    join_learned_request,
    slice_argument,
    slice_outcomes,
)
from schemas.statement import Statement, Update
from storage.views import BlockRow, RequestRow, VersionRow, ViewRows

BATCH_ROWS = 8192
"""Requests and record versions after which a batch is due: about 2,700 requests of two writes each."""

BATCH_BYTES = 8 * MIB
"""Entries, outputs and values after which a batch is due: the views hold a transaction in memory."""

BATCH_AGE_MS = 250
"""How long a block waits for others before a batch is due."""


class RowGatherer:
    """Gathers the rows of blocks, in order, until they are taken as one batch."""

    def __init__(self) -> None:
        self._requests: list[RequestRow] = []
        self._versions: list[VersionRow] = []
        self._blocks: list[BlockRow] = []
        self._bytes = 0

    def add(
        self,
        update: Update,
        statement: Statement,
        learned_at_ms: int,
        outcomes: Sequence[OutcomeSlices] | None = None,
    ) -> bytes:
        """Gather the rows of one verified update.

        Args:
            update: the next of the journal.
            statement: the one in it.
            learned_at_ms: now, for the feed.
            outcomes: the update's, where they were sliced already.

        Returns:
            The framed `Learned` message of this update.

        Raises:
            MalformedMessageError: the parts of the update do not fit together.
        """
        self._bytes += sum(sum(map(len, part)) for part in (update.entries, update.outputs, update.values))
        values = iter(update.values)
        learned = []
        try:
            sliced = slice_outcomes(update.outcomes) if outcomes is None else outcomes
            parts = zip(update.entries, sliced, update.outputs, strict=True)
            for index, (entry, outcome, output) in enumerate(parts):
                written = [next(values) for _ in outcome.writes]
                self._add_outcome(statement, index, outcome, slice_argument(entry), output, written)
                learned.append(join_learned_request(outcome, written))
        except (ValueError, StopIteration) as error:
            raise MalformedMessageError(f"update {statement.sequence}: parts do not fit: {error}") from error
        if next(values, None) is not None:
            raise MalformedMessageError(f"update {statement.sequence}: more values than writes")
        return join_learned(
            statement.ledger_id, statement.sequence, statement.ordered_at_ms, learned_at_ms, learned
        )

    def _add_outcome(
        self,
        statement: Statement,
        index: int,
        outcome: OutcomeSlices,
        argument: bytes,
        output: bytes,
        values: Sequence[bytes],
    ) -> None:
        request_id, entity, contract, contract_version, status, code, fail_text, _, writes, _ = outcome
        sequence = statement.sequence
        at_ms = statement.ordered_at_ms
        self._requests.append(
            (
                request_id,
                sequence,
                index,
                entity,
                contract,
                contract_version,
                status,
                code,
                fail_text,
                at_ms,
                argument,
                output or None,
            )
        )
        for write, value in zip(writes, values, strict=True):
            namespace, key, version, deleted, record_hash, _, _ = write
            shown = None if deleted else value
            self._versions.append(
                (namespace, key, version, deleted, shown, record_hash, sequence, index, request_id)
            )

    def end_block(self, block: BlockRow) -> None:
        """Gather the row of the block whose updates were added last."""
        self._blocks.append(block)

    def due(self, now_ms: int) -> bool:
        """Whether what was gathered should be stored now."""
        if not self._blocks:
            return False
        rows = len(self._requests) + len(self._versions)
        waited_ms = now_ms - self._blocks[0].learned_at_ms
        is_old = not 0 <= waited_ms < BATCH_AGE_MS  # below 0: the clock was put back, and holds nothing up
        return rows >= BATCH_ROWS or self._bytes >= BATCH_BYTES or is_old

    def take(self) -> ViewRows:
        """Everything gathered so far, which ends with a whole block; the gatherer is empty afterwards."""
        rows = ViewRows(requests=self._requests, versions=self._versions, blocks=self._blocks)
        self._requests, self._versions, self._blocks, self._bytes = [], [], [], 0
        return rows


def genesis_rows(ledger_id: bytes, genesis: Genesis) -> ViewRows:
    """The rows of a ledger's initial records, written by sequence -1."""
    records = [(RecordKey(record.namespace, record.key), record.value) for record in genesis.records]
    versions: list[VersionRow] = [
        (
            key.namespace.encode(),
            key.key.encode(),
            record.version,
            record.deleted,
            record.value,
            record.record_hash,
            record.writer_sequence,
            record.writer_index,
            record.request_id,
        )
        for key, record in genesis_versions(ledger_id, records)
    ]
    return ViewRows(requests=(), versions=versions, blocks=())
