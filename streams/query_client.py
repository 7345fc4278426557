"""Asks a learner's query server; what the command line's `sql` uses.

Such as `QueryClient("http://127.0.0.1:8123").query("SELECT count(*) FROM records", wait_for=sequence)`.

Where a learner has died, another program may have its port. So an answer is bounded and checked like any
stranger's, and one that is no query server's is the error `sql.unreachable`, whatever else is in it.
"""

import http.client
import json
import time
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from protocol.errors import ERRORS
from storage.queries import MIB, QueryError, QueryResult

TIMEOUT_S = 60.0
"""Longer than any query waits and runs."""

ANSWER_BYTES_MAX = 256 * MIB
"""More than any answer is: JSON takes some bytes for what a server's limit counts as one."""

_CODES = frozenset(code for code in ERRORS if code.startswith("sql."))


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
        columns, types, rows, sequence = (answer.get(name) for name in ("columns", "types", "rows", "sequence"))
        if not (_is_text(columns) and _is_text(types) and len(columns) == len(types) and type(sequence) is int):
            raise self._strange()
        if not (isinstance(rows, list) and all(isinstance(row, list) and len(row) == len(columns) for row in rows)):
            raise self._strange()
        return QueryResult(columns=tuple(columns), types=tuple(types), rows=tuple(map(tuple, rows)), sequence=sequence)

    def health(self) -> dict[str, Any]:
        """The server's state: status, sequence, running queries.

        Raises:
            QueryError: `sql.unreachable`.
        """
        health = self._ask("GET", "/health", None)
        if not isinstance(health.get("status"), str):
            raise self._strange()
        return health

    def _ask(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            with connection.getresponse() as response:
                answer = json.loads(self._bounded(response))
        except (OSError, http.client.HTTPException, RecursionError, ValueError) as error:
            raise QueryError("sql.unreachable", f"{self._host}:{self._port}: {error!r}") from error
        finally:
            connection.close()
        if not isinstance(answer, dict):
            raise self._strange()
        code = answer.get("error")
        if isinstance(code, str) and code in _CODES:
            raise QueryError(code, str(answer.get("detail", "")))
        return answer

    def _bounded(self, response: http.client.HTTPResponse) -> bytes:
        """All of an answer.

        Raises:
            QueryError: `sql.unreachable`, it is longer than any, or takes longer.
        """
        deadline = time.monotonic() + TIMEOUT_S
        parts: list[bytes] = []
        left = ANSWER_BYTES_MAX
        while part := response.read1(min(left + 1, MIB)):
            left -= len(part)
            if left < 0 or time.monotonic() > deadline:
                raise self._strange()
            parts.append(part)
        return b"".join(parts)

    def _strange(self) -> QueryError:
        return QueryError("sql.unreachable", f"{self._host}:{self._port}: a strange answer")


def _is_text(names: object) -> TypeGuard[list[str]]:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)
