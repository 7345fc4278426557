"""What is asked of a learner's views, and what is answered; for servers and clients alike."""

from dataclasses import dataclass
from typing import Any

from protocol.errors import CountersignError

MIB = 1024 * 1024


class QueryError(CountersignError):
    """A query that was not answered; `code` is one of the `sql.*` codes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLimits:
    """What one query may take.

    Attributes:
        text_bytes: the query itself.
        rows: of the result.
        result_bytes: of the result, about.
        time_ms: from start to last row.
        grace_ms: after that, until a query that does not stop counts as stuck.
        operator_bytes: what sorts, joins and groups may hold in memory before they use the disk.
        process_growth_bytes: how much the whole process may grow meanwhile.
    """

    text_bytes: int = 16 * 1024
    rows: int = 10_000
    result_bytes: int = 8 * MIB
    time_ms: int = 10_000
    grace_ms: int = 20_000
    operator_bytes: int = 48 * MIB
    process_growth_bytes: int = 192 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """An answer.

    Attributes:
        columns: their names. types: their SQL types.
        rows: values that JSON can hold: integers beyond 2^53 - 1, decimals, times and the like as text, bytes
            as hex digits.
        sequence: what the answer reflects.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    sequence: int
