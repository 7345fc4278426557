"""A batch as one or two statements of PostgreSQL (a large one as some more), which are one transaction.

1. *The conditions and changes*: one statement, each mutation a part of it (WITH), whose end asks of every part that it
   touched its row (`REQUIRE`, a function that raises, which undoes all). Each part waits for the row's writers and
   then judges the row as they left it (READ COMMITTED); rows are touched in the order of their keys, so two batches
   do not wait for each other.
2. *What must see all that was committed before the first statement had its rows*: deletes without a condition. A
   snapshot from before would leave a row that was inserted together with a change that the first statement saw.

A row is checked for absence by inserting it in the first statement and deleting it in the second: whoever inserts it
meanwhile waits for the end of the batch.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from storage.model.operations import Check, Delete, Mutation, Upsert
from storage.tables.sql_statements import Statement, TableStatements

SCHEMA = "countersign"
_TOGETHER_MAX = 250
"""Mutations in one statement, whose plan grows with them."""

REQUIRE = f"{SCHEMA}.require"
REQUIRE_FUNCTION = f"""CREATE FUNCTION {REQUIRE}(touched bigint, place int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF touched <> 1 THEN
        RAISE EXCEPTION 'condition failed' USING DETAIL = place;
    END IF;
END
$$"""
"""Raises where a part of a batch did not touch its row; the detail is the place of its mutation in the batch."""


class Part(NamedTuple):
    """A mutation, its table's statements, its key, and its place in the batch."""

    place: int
    of: TableStatements
    mutation: Mutation
    key: bytes


def batch_statements(batch: Sequence[tuple[TableStatements, Mutation]]) -> list[Statement]:
    """The statements of a checked batch, in their order."""
    parts = [Part(place, of, mutation, of.keys.key(mutation.key)) for place, (of, mutation) in enumerate(batch)]
    parts.sort(key=lambda part: (part.of.place, part.key))
    first = [part for part in parts if not _is_plain_delete(part.mutation)]
    second = [part for part in parts if _is_plain_delete(part.mutation) or _is_absence(part.mutation)]
    statements = []
    for begin in range(0, len(first), _TOGETHER_MAX):
        together = first[begin : begin + _TOGETHER_MAX]
        statements.append(_joined([_first(part) for part in together], [_required(part) for part in together]))
    if second:
        deletes = [part.of.mutation(Delete(table=part.mutation.table, key=part.mutation.key)) for part in second]
        statements.append(deletes[0] if len(deletes) == 1 else _joined(deletes, [None] * len(deletes)))
    return statements


def _is_plain_delete(mutation: Mutation) -> bool:
    return isinstance(mutation, Delete) and mutation.where is None and not mutation.must_exist


def _is_absence(mutation: Mutation) -> bool:
    return isinstance(mutation, Check) and mutation.absent


def _first(part: Part) -> Statement:
    if _is_absence(part.mutation):
        return part.of.insert(part.mutation.key, part.key, {}, "DO NOTHING")
    return part.of.mutation(part.mutation)


def _required(part: Part) -> int | None:
    """The place to name if the part touches no row; None for one that always holds."""
    return None if isinstance(part.mutation, Upsert) else part.place


def _joined(statements: Sequence[Statement], places: Sequence[int | None]) -> Statement:
    """Several statements as one; those with a place must touch their row."""
    values: list[Any] = []
    parts, required = [], []
    for number, (statement, place) in enumerate(zip(statements, places, strict=True)):
        returning = "" if statement.text.startswith("SELECT") else " RETURNING 1"
        parts.append(f"m{number} AS ({statement.text}{returning})")
        values += statement.values
        if place is not None:
            required.append(f"{REQUIRE}((SELECT count(*) FROM m{number}), {place})")
    return Statement(f"WITH {', '.join(parts)} SELECT {', '.join(required) or '1'}", values)
