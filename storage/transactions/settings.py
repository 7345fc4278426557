"""What a transaction manager is told: isolation levels, times and bounds."""

from dataclasses import dataclass
from enum import StrEnum

SECOND_MS = 1000


class Isolation(StrEnum):
    """What a transaction is kept from seeing.

    All levels read only what is committed, never lose an update of a record that they read and write, and see their
    own writes.
    """

    SERIALIZABLE = "serializable"
    """Strictly: as if transactions ran one after the other, each at a moment between its begin and its end."""

    SNAPSHOT = "snapshot"
    """All reads are of one moment, the beginning of the commit, and of what was not written since; but two
    transactions that read what the other writes may both be committed (write skew)."""

    READ_COMMITTED = "read_committed"
    """Each read is of what is committed at its moment, and never waits for a writer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionSettings:
    """Times and bounds; all processes over one coordinator should have the same.

    Attributes:
        isolation: of transactions that do not ask for another.
        lease_ms: how long after it prepared a record a transaction that did not decide keeps it; then any reader may
            abort it. Too short costs aborts, never correctness.
        read_wait_ms: how long a read waits for a transaction that holds its record, before it is a conflict.
        retention_ms: how long outcomes can be looked up, and how old a transaction may be when it commits.
        writes_max: records that one transaction writes.
        one_phase: commit in one batch where that is possible.
        attempts: of `run`.
        backoff_ms, backoff_max_ms: the spread before the second attempt of `run`, doubled until the maximum.
        unknown_wait_ms: how long a commit tries to learn its outcome after an answer was lost.
        scan_rows: rows of one page of a scan.
    """

    isolation: Isolation = Isolation.SERIALIZABLE
    lease_ms: int = 5 * SECOND_MS
    read_wait_ms: int = 10 * SECOND_MS
    retention_ms: int = 3600 * SECOND_MS
    writes_max: int = 10_000
    one_phase: bool = True
    attempts: int = 100
    backoff_ms: float = 2.0
    backoff_max_ms: float = 200.0
    unknown_wait_ms: int = 10 * SECOND_MS
    scan_rows: int = 500
