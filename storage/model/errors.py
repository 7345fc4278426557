"""What can be wrong with a schema or an operation, before any store sees it.

    CountersignError
    └── InvalidOperationError     the sender's: nothing was done, and the same again will fail again

What only a store can meet is in `storage.tables.errors`.
"""

from protocol.errors import CountersignError


class InvalidOperationError(CountersignError, ValueError):
    """A schema, a value, a key or an operation breaks a rule of the data model; raised before anything is written."""
