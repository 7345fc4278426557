"""Asks a learner's query server; what the command line's `sql` uses.

Such as `QueryClient("http://127.0.0.1:8123").query("SELECT count(*) FROM records", wait_for=sequence)`.
"""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from protocol.errors import ERRORS
from storage.queries import QueryError, QueryResult

TIMEOUT_S = 60.0
"""Longer than any query waits and runs."""


class QueryClient:
    """Asks one server. Holds no connection between queries, so any thread may use it.

    Args:
        url: of the server.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None or parts.port is None:
            raise ValueError(f"{url!r} is not http://HOST:PORT")
        self._host = parts.hostname
        self._port = parts.port

    def query(
        self,
        sql: str,
        *,
        as_of: int | None = None,
        wait_for: int | None = None,
        time_ms: int | None = None,
    ) -> QueryResult:
        """Have one SELECT answered.

        Args:
            sql: over `records`, `history`, `requests` and `blocks`; `records_as_of(sequence)` too.
            as_of: show the views as they were behind this sequence.
            wait_for: answer only when this sequence was learned, such as that of a receipt.
            time_ms: less time than the server's limit.

        Raises:
            QueryError: one of the `sql.*` codes.
        """
        asked = {"sql": sql, "as_of": as_of, "wait_for": wait_for, "time_ms": time_ms}
        answer = self._ask("POST", "/query", json.dumps(asked).encode())
        try:
            return QueryResult(
                columns=tuple(answer["columns"]),
                types=tuple(answer["types"]),
                rows=tuple(tuple(row) for row in answer["rows"]),
                sequence=answer["sequence"],
            )
        except (KeyError, TypeError) as error:
            raise QueryError("sql.unreachable", f"a strange answer: {error!r}") from error

    def health(self) -> dict[str, Any]:
        """The server's state: status, sequence, running queries.

        Raises:
            QueryError: `sql.unreachable`.
        """
        return self._ask("GET", "/health", None)

    def _ask(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            answer = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise QueryError("sql.unreachable", f"{self._host}:{self._port}: {error!r}") from error
        finally:
            connection.close()
        if not isinstance(answer, dict):
            raise QueryError("sql.unreachable", f"{self._host}:{self._port}: a strange answer")
        if answer.get("error") in ERRORS:
            raise QueryError(answer["error"], str(answer.get("detail", "")))
        return answer
