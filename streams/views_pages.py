"""The JSON pages of the live views, as functions of what the tables hold.

Every page has `as_of`: the last sequence that is in it.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from protocol.errors import CountersignError
from streams.views_tally import EntityRow, NamespaceRow, RecordRow, RecordsRow

WINDOW_S = 60
KEPT_S = 3600
"""How long a window of activity is kept."""

ROWS_MAX = 1000
_ROWS = 100
_MINUTES = 30
_TOP = 20
_DIGITS = 18

Query = Mapping[str, str]
Page = dict[str, Any]
ActivityKey = tuple[str, tuple[float, float]]
"""Namespace, and begin and end of the window in seconds."""


def activity_page(table: Iterable[tuple[ActivityKey, NamespaceRow]], query: Query, now_ms: int) -> Page:
    """Activity per namespace and minute, the oldest minute first.

    Args:
        table: its rows.
        query: `minutes`: how far back.
        now_ms: the time.
    """
    minutes = number(query, "minutes", _MINUTES, KEPT_S // WINDOW_S)
    begin_s = now_ms / 1000 - minutes * WINDOW_S
    rows = [
        {"minute_ms": int(begin * 1000), "namespace": namespace, **_shown(row)}
        for (namespace, (begin, end)), row in table
        if end > begin_s
    ]
    rows.sort(key=lambda row: (row["minute_ms"], row["namespace"]))
    return {"window_ms": WINDOW_S * 1000, "minutes": minutes, "rows": rows[-ROWS_MAX:]}


def records_page(table: Mapping[str, RecordsRow], query: Query) -> Page | None:
    """The latest version of one record, or of those that were written last; None if there is no such record.

    Args:
        table: its rows.
        query: `namespace` and `key`; `namespace` alone, or neither, with `rows`.
    """
    namespace = query.get("namespace")
    if "key" in query:
        if namespace is None:
            raise CountersignError("query.invalid", "a key without its namespace")
        found = table[namespace]["records"].get(query["key"]) if namespace in table else None
        return None if found is None else _record(namespace, query["key"], found)
    return {"rows": _newest((row for row in _records(table) if namespace in (None, row["namespace"])), query)}


def entities_page(table: Mapping[str, EntityRow], query: Query) -> Page | None:
    """What one entity did, or those that were active last; None if there is no such entity.

    Args:
        table: its rows.
        query: `entity`; without it, `rows`.
    """
    if "entity" in query:
        found = table.get(query["entity"])
        return None if found is None else {"entity": query["entity"], **found}
    return {"rows": _newest(({"entity": entity, **row} for entity, row in table.items()), query)}


def top_page(
    entities: Mapping[str, EntityRow], records: Mapping[str, RecordsRow], query: Query
) -> Page:
    """Who sent most requests, or which records were written most often, the greatest first.

    Args:
        entities: rows by entity.
        records: rows by namespace.
        query: `of`: "entities" or "records"; `rows`.
    """
    count = number(query, "rows", _TOP, ROWS_MAX)
    match query.get("of", "entities"):
        case "entities":
            busiest = heapq.nlargest(count, entities.items(), key=lambda item: item[1]["requests"])
            return {"of": "entities", "rows": [{"entity": entity, **row} for entity, row in busiest]}
        case "records":
            hottest = heapq.nlargest(count, _records(records), key=lambda row: row["version"])
            return {"of": "records", "rows": hottest}
        case other:
            raise CountersignError("query.invalid", f"of={other[:_DIGITS]}: it is entities or records")


def sequence_asked(query: Query) -> int:
    """The sequence that a page is to wait for; -1 if it need not.

    Raises:
        CountersignError: `query.invalid`.
    """
    text = query.get("wait_for", "")
    if not text:
        return -1
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise CountersignError("query.invalid", f"wait_for={text[:_DIGITS]}: it is a sequence")
    return int(text)


def number(query: Query, name: str, default: int, greatest: int) -> int:
    """A positive number out of a query.

    Raises:
        CountersignError: `query.invalid`.
    """
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS and 0 < int(text) <= greatest):
        raise CountersignError("query.invalid", f"{name}={text[:_DIGITS]}: it is from 1 to {greatest}")
    return int(text)


def _newest(rows: Iterable[Page], query: Query) -> list[Page]:
    count = number(query, "rows", _ROWS, ROWS_MAX)
    return heapq.nlargest(count, rows, key=lambda row: row["sequence"])


def _records(table: Mapping[str, RecordsRow]) -> Iterator[Page]:
    for namespace, row in table.items():
        for key, record in row["records"].items():
            yield _record(namespace, key, record)


def _record(namespace: str, key: str, row: RecordRow) -> Page:
    return {"namespace": namespace, "key": key, **row}


def _shown(row: NamespaceRow) -> dict[str, int]:
    return {"requests": row["requests"], "writes": row["writes"], "deletions": row["deletions"]}
