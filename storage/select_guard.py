"""What a query may name: the views, relations of its own, and functions that only compute.

The engine refuses writes in a read-only transaction, and files where access to them is off. Neither stops a
SELECT from naming settings, logs, raw pointers, checkpoints or SQL in a string. So its tree is checked first:

1. Its nodes are queries: no INSERT in a common table expression.
2. Its relations are the views by their plain names, or its own common table expressions; these must not carry
   a name of the engine's, or they would open what they hide.
3. Its table functions are the few listed; every other function is one the engine itself calls pure, and none
   of those it cannot interrupt or that trust their input.

Source: the tree is what DuckDB's `json_serialize_sql` gives.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from storage.queries import QueryError

TABLE_FUNCTIONS = frozenset({"generate_series", "json_each", "json_tree", "range", "unnest"})
"""Table functions that read nothing but their arguments."""

TIME_FUNCTIONS = frozenset({"current_date", "get_current_timestamp", "now", "today", "transaction_timestamp"})
"""Functions that are pure but for the time of day."""

REFUSED_FUNCTIONS = frozenset(
    {
        # Quadratic, and not interruptible.
        "damerau_levenshtein",
        "editdist3",
        "jaro_similarity",
        "jaro_winkler_similarity",
        "levenshtein",
        # Trust bytes to be what the engine itself made.
        "combine",
        "combine_aggr",
        "finalize",
        "to_aggregate_state",
        "variant_bytes_to_variant",
        "variant_to_parquet_variant",
        # Run or plan SQL, or look into the engine.
        "get_block_size",
        "index_key",
        "invoke",
        "json_deserialize_sql",
        "json_serialize_plan",
        "json_serialize_sql",
        "parse_duckdb_log_message",
    }
)
"""Functions that the engine calls pure, and that are refused all the same."""

REFUSED_PREFIXES = (
    "__internal",
    "col_",
    "current_",
    "has_",
    "inet_",
    "obj_",
    "pg_",
    "session_",
    "shobj_",
    "st_",
)
"""Beginnings of names of functions about the engine, or of no use here."""

_QUERY_NODES = frozenset({"CTE_NODE", "RECURSIVE_CTE_NODE", "SELECT_NODE", "SET_OPERATION_NODE"})
_SHOW_TABLES = '"tables"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """All names a query may use, in lower case.

    Attributes:
        relations: the views.
        table_functions: in the place of a relation.
        functions: everywhere else.
        hidden: relations of the engine, whose names are not free.
    """

    relations: frozenset[str]
    table_functions: frozenset[str]
    functions: frozenset[str]
    hidden: frozenset[str]


def usable_functions(pure: Collection[str]) -> frozenset[str]:
    """The functions a query may call, out of those that the engine calls pure."""
    names = {name for name in pure if not name.startswith(REFUSED_PREFIXES)}
    return frozenset(names - REFUSED_FUNCTIONS | TIME_FUNCTIONS | {"unnest"})


def check_select(tree: Mapping[str, Any], vocabulary: Vocabulary) -> None:
    """Require that a query names nothing it must not.

    Args:
        tree: one SELECT, parsed.
        vocabulary: the names it may use.

    Raises:
        QueryError: it does; `sql.refused`.
    """
    own: set[str] = set()
    relations: list[str] = []
    for node in _nodes(tree):
        kind = node.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _QUERY_NODES:
            raise QueryError("sql.refused", f"{kind.removesuffix('_QUERY_NODE')} inside a query")
        if "cte_map" in node:
            own.update(entry["key"].lower() for entry in node["cte_map"]["map"])
        if kind == "BASE_TABLE":
            relations.append(_plain_name(node, "table_name"))
        elif kind == "TABLE_FUNCTION":
            _require(_plain_name(node["function"], "function_name"), vocabulary.table_functions)
        elif kind == "SHOW_REF" and not node.get("query") and node.get("table_name") != _SHOW_TABLES:
            raise QueryError("sql.refused", "SHOW of something else than TABLES")
        elif "function_name" in node:
            _require(_plain_name(node, "function_name"), vocabulary.functions)
    for name in own & vocabulary.hidden:
        raise QueryError("sql.refused", f"the name {name!r} is taken")
    for name in relations:
        _require(name, vocabulary.relations | own)


def _nodes(tree: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every object of the tree, but of a table function only the arguments.

    A loop and no recursion: who asks decides how deep a query nests.
    """
    waiting: list[Any] = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            if part.get("type") == "TABLE_FUNCTION":
                waiting.extend(part["function"].values())
            else:
                waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _plain_name(node: Mapping[str, Any], field: str) -> str:
    """A name that is not qualified by a schema or a catalog, in lower case."""
    name: str = node[field]
    path = node["qualified_name"]["path"]
    if path != [name]:
        raise QueryError("sql.refused", f"{'.'.join(path)} is a qualified name")
    return name.lower()


def _require(name: str, allowed: Collection[str]) -> None:
    if name not in allowed:
        raise QueryError("sql.refused", f"{name!r} is not offered to queries")
