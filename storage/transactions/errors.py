"""What a transaction can meet.

CountersignError
├── InvalidOperationError          the sender's: raised before anything is written
│   └── TransactionMisuseError     the sender's: an operation that does not fit the transaction's state
└── TransactionError
├── TransactionConflictError   the world's: nothing remains; run the transaction again from its beginning
│   ├── TransactionAbortedError     the same, because another gave this one up
│   └── TransactionContendedError   the same, after every attempt of `run`
├── ConditionNotMetError       the sender's: the transaction can go on, or be rolled back
│   └── RecordExistsError      the sender's: the record to be inserted is there
├── TransactionTooOldError     the sender's: below the coordinator's horizon
└── TransactionUnknownError    the world's: `resolve` will tell
"""

from protocol.errors import CountersignError
from storage.model.errors import InvalidOperationError
from storage.model.operations import Key
from storage.model.schema import TableName


class TransactionMisuseError(InvalidOperationError):
    """An operation that does not fit the state of the transaction, or its settings."""


class TransactionError(CountersignError):
    """Base of what ends a transaction, or one operation of it."""


class TransactionConflictError(TransactionError):
    """Another transaction was at the same records; nothing of this one remains.

    Attributes:
        records: the records it was about, as far as is known.
    """

    def __init__(
        self,
        detail: str,
        code: str = "transaction.conflict",
        records: tuple[tuple[TableName, Key], ...] = (),
    ) -> None:
        super().__init__(code, detail)
        self.records = records


class TransactionAbortedError(TransactionConflictError):
    """Another transaction, a sweeper or `resolve` made the abort of this one durable before it could commit."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "transaction.aborted")


class TransactionContendedError(TransactionConflictError):
    """Every attempt of `run` met a conflict."""

    def __init__(self, detail: str, records: tuple[tuple[TableName, Key], ...]) -> None:
        super().__init__(detail, "transaction.contended", records)


class ConditionNotMetError(TransactionError):
    """A record is not as an update or delete wants it."""

    def __init__(self, detail: str, code: str = "transaction.condition") -> None:
        super().__init__(code, detail)


class RecordExistsError(ConditionNotMetError):
    """The record to be inserted is there already."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "transaction.exists")


class TransactionTooOldError(TransactionError):
    """The transaction began before what the coordinator still remembers."""

    def __init__(self, detail: str) -> None:
        super().__init__("transaction.too_old", detail)


class TransactionUnknownError(TransactionError):
    """The store went away while the transaction was deciding.

    Attributes:
        transaction_id: what `resolve` wants.
    """

    def __init__(self, transaction_id: str, detail: str) -> None:
        super().__init__("transaction.unknown", f"{transaction_id}: {detail}")
        self.transaction_id = transaction_id
