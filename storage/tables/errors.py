"""What a table store raises, beside `storage.model.errors.InvalidOperationError`.

    CountersignError
    ├── InvalidOperationError        the sender's: nothing was done, the same again fails again
    ├── ConditionFailedError         the sender's: nothing was done; read again and decide anew
    ├── TableStoreUnavailableError   the world's: nothing was done; try again
    │   └── StoreContendedError      the world's: nothing was done; try again after a short while
    └── UnknownOutcomeError          the world's: it was done as a whole, or not at all; look

Each has a stable code.
"""

from protocol.errors import CountersignError


class ConditionFailedError(CountersignError):
    """A batch changed nothing, because a row was not as a mutation wants it.

    Attributes:
        index: of a mutation in its batch whose condition did not hold; there may be more of them.
    """

    def __init__(self, index: int, detail: str = "") -> None:
        super().__init__("condition.failed", detail or f"mutation {index}")
        self.index = index


class TableStoreUnavailableError(CountersignError):
    """The store does not answer, or cannot do it now; it is known that nothing was done."""

    def __init__(self, detail: str, code: str = "store.unreachable") -> None:
        super().__init__(code, detail)


class StoreContendedError(TableStoreUnavailableError):
    """Other batches held the same rows; it is known that nothing was done."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, "store.contended")


class UnknownOutcomeError(CountersignError):
    """The answer to a batch was lost: it was applied as a whole, or not at all, or will yet be."""

    def __init__(self, detail: str) -> None:
        super().__init__("store.outcome_unknown", detail)
