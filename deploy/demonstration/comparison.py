"""Comparing what the learner shows with both parties' stores, record by record."""

from collections.abc import Iterator

from deploy.home import Home
from deploy.initialize import AUDITOR, LEDGER
from protocol.contracts.names import SYS
from protocol.errors import CountersignError
from storage.ports import RecordStore
from streams.query_client import QueryClient

_PAGE = 5_000

Shown = tuple[str, str, int, str]
"""Namespace, key, version, value of a current record."""


def compare_views(home: Home, client: QueryClient, namespaces: tuple[str, ...]) -> int:
    """Require that learner, Ledger and Auditor hold the same current records.

    Returns:
        How many records were compared.

    Raises:
        CountersignError: `views.differ`, with the first difference.
    """
    learned = set(_learned(client, namespaces))
    for role in (AUDITOR, LEDGER):
        store = home.load(role).open_store()
        try:
            held = set(_held(store, namespaces))
        finally:
            store.close()
        for differing in sorted(learned ^ held):
            raise CountersignError("views.differ", f"{role}: {differing[:3]}")
    return len(learned)


def _learned(client: QueryClient, namespaces: tuple[str, ...]) -> Iterator[Shown]:
    for namespace in (*namespaces, SYS):
        after = ""
        while True:
            rows = client.query(
                f"SELECT key, version, value FROM records WHERE namespace = {_quoted(namespace)} "
                f"AND key > {_quoted(after)} AND NOT deleted ORDER BY key LIMIT {_PAGE}"
            ).rows
            for key, version, value in rows:
                yield namespace, str(key), int(str(version)), str(value)
            if len(rows) < _PAGE:
                break
            after = str(rows[-1][0])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _held(store: RecordStore, namespaces: tuple[str, ...]) -> Iterator[Shown]:
    for namespace in (*namespaces, SYS):
        for key, record in store.records(namespace):
            if not record.deleted:
                yield namespace, key, record.version, record.value.decode()
