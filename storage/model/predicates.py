"""Predicates over a row: comparisons of a column with a value, joined with AND and OR.

A comparison with a null is false, whatever the operator, but for IS_NULL. Values compare as their type orders them
(`storage.model.data_types`). In a pattern of LIKE, `%` stands for any run of characters, `_` for one, and a backslash
takes the meaning of the next; upper and lower case differ.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from storage.model.data_types import DataType, Value, check_value
from storage.model.errors import InvalidOperationError
from storage.model.schema import TableSchema

COMPARISONS_MAX = 64
"""Comparisons in one predicate."""

NESTING_MAX = 8
"""ANDs and ORs within one another."""


class Operator(StrEnum):
    """How a column is compared."""

    EQ = "="
    NE = "<>"
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    IS_NULL = "is null"
    IS_NOT_NULL = "is not null"
    LIKE = "like"
    NOT_LIKE = "not like"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One column against a value; IS_NULL and IS_NOT_NULL take none."""

    column: str
    operator: Operator
    value: Value | None = None


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds (AND); with no part, true."""

    parts: tuple["Predicate", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds (OR); with no part, false."""

    parts: tuple["Predicate", ...]


Predicate = Comparison | AllOf | AnyOf

_ORDERINGS: Mapping[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQ: operator.eq,
    Operator.NE: operator.ne,
    Operator.LT: operator.lt,
    Operator.LE: operator.le,
    Operator.GT: operator.gt,
    Operator.GE: operator.ge,
}


def equals(column: str, value: Value) -> Comparison:
    """The commonest predicate."""
    return Comparison(column, Operator.EQ, value)


def holds(predicate: Predicate, row: Mapping[str, Value | None]) -> bool:
    """Whether a row satisfies a predicate; the row has every column that is compared."""
    match predicate:
        case Comparison():
            return _compares(predicate, row[predicate.column])
        case AllOf(parts):
            return all(holds(part, row) for part in parts)
        case AnyOf(parts):
            return any(holds(part, row) for part in parts)


def columns_of(predicate: Predicate) -> frozenset[str]:
    """The columns that a predicate compares."""
    if isinstance(predicate, Comparison):
        return frozenset((predicate.column,))
    return frozenset().union(*map(columns_of, predicate.parts))


def check_predicate(schema: TableSchema, predicate: Predicate) -> Predicate:
    """Return the predicate with every value in its column's one form.

    Raises:
        InvalidOperationError: a column is unknown, a value is none of its type, a pattern is compared with what is no
            text, or the predicate is too large.
    """
    if isinstance(predicate, Comparison):
        return _checked(schema, predicate)
    checked, comparisons = _check(schema, predicate, 1)
    if comparisons > COMPARISONS_MAX:
        raise InvalidOperationError("predicate.too_large", f"more than {COMPARISONS_MAX} comparisons")
    return checked


def _check(schema: TableSchema, predicate: Predicate, depth: int) -> tuple[Predicate, int]:
    if isinstance(predicate, Comparison):
        return _checked(schema, predicate), 1
    if depth > NESTING_MAX:
        raise InvalidOperationError("predicate.too_large", f"nested deeper than {NESTING_MAX}")
    if len(predicate.parts) > COMPARISONS_MAX:
        raise InvalidOperationError("predicate.too_large", f"more than {COMPARISONS_MAX} parts")
    parts = [_check(schema, part, depth + 1) for part in predicate.parts]
    return type(predicate)(tuple(part for part, _ in parts)), sum(count for _, count in parts)


def _checked(schema: TableSchema, comparison: Comparison) -> Comparison:
    data_type = schema.columns.get(comparison.column)
    if data_type is None:
        raise InvalidOperationError("column.unknown", f"{schema.name} has no column {comparison.column}")
    if comparison.operator in (Operator.IS_NULL, Operator.IS_NOT_NULL):
        if comparison.value is not None:
            raise InvalidOperationError("value.wrong_type", f"{comparison.operator} takes no value")
        return comparison
    if comparison.operator in (Operator.LIKE, Operator.NOT_LIKE):
        if data_type is not DataType.TEXT:
            raise InvalidOperationError("value.wrong_type", f"{comparison.column} is no text")
        pattern = check_value(DataType.TEXT, comparison.value)
        assert isinstance(pattern, str)
        like_pattern(pattern)
        return comparison
    value = check_value(data_type, comparison.value)
    return comparison if value is comparison.value else Comparison(comparison.column, comparison.operator, value)


def _compares(comparison: Comparison, stored: Value | None) -> bool:
    match comparison.operator:
        case Operator.IS_NULL:
            return stored is None
        case _ if stored is None:
            return False
        case Operator.IS_NOT_NULL:
            return True
        case Operator.LIKE | Operator.NOT_LIKE:
            assert isinstance(stored, str), "only a text is matched with a pattern"
            assert isinstance(comparison.value, str), "a pattern is a text"
            matches = like_pattern(comparison.value).fullmatch(stored) is not None
            return matches is (comparison.operator is Operator.LIKE)
        case _:
            return _ORDERINGS[comparison.operator](stored, comparison.value)


@lru_cache(maxsize=256)
def like_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern of LIKE.

    Raises:
        InvalidOperationError: `value.out_of_range`: it ends in a lone backslash.
    """
    segments = [""]
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            escaped = next(characters, None)
            if escaped is None:
                raise InvalidOperationError("value.out_of_range", "a pattern ends in a lone backslash")
            segments[-1] += re.escape(escaped)
        elif character == "%":
            segments.append("")
        else:
            segments[-1] += "." if character == "_" else re.escape(character)
    # The first place where a segment fits is as good as any other, so nothing is tried twice (atomic groups).
    first, *middle = segments
    last = f".*{middle.pop()}" if middle else ""
    return re.compile("".join((first, *(f"(?>.*?{segment})" for segment in middle), last)), re.DOTALL)
