"""How the shop calls a service: JSON over HTTP, on loopback. Any other transport would do."""

import json
from collections.abc import Callable, Mapping
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from protocol.errors import CountersignError
from storage.transactions.errors import TransactionConflictError
from storage.transactions.services import JoinedTransactions

_TIMEOUT_S = 10.0
_BODY_BYTES_MAX = 1 << 20

Calls = Mapping[str, Callable[..., Any]]
"""What a service can do, by name."""


class Service:
    """A service as the shop sees it: its calls, and a participant of transactions.

    Args:
        port: of the service, on loopback.
    """

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/"

    def call(self, name: str, **arguments: Any) -> Any:
        """Make a call, and return its answer.

        Raises:
            CountersignError: the service's own, or `transaction.participant`: it does not answer.
        """
        request = Request(self._url + name, json.dumps(arguments).encode(), method="POST")
        try:
            with urlopen(request, timeout=_TIMEOUT_S) as answer:
                return json.load(answer)
        except HTTPError as error:
            told = json.load(error)
            if told["is_conflict"]:
                raise TransactionConflictError(told["detail"], told["code"]) from error
            raise CountersignError(told["code"], told["detail"]) from error
        except (OSError, HTTPException) as error:
            raise CountersignError("transaction.participant", str(error)) from error

    def prepare(self, transaction_id: str, calls: int) -> bytes:
        """See `storage.transactions.services.Participant`."""
        return str(self.call("prepare", transaction=transaction_id, calls=calls)).encode()

    def validate(self, transaction_id: str) -> None:
        """See `storage.transactions.services.Participant`."""
        self.call("validate", transaction=transaction_id)

    def commit(self, transaction_id: str) -> None:
        """See `storage.transactions.services.Participant`."""
        self.call("commit", transaction=transaction_id)

    def rollback(self, transaction_id: str) -> None:
        """See `storage.transactions.services.Participant`."""
        self.call("rollback", transaction=transaction_id)


def server(port: int, calls: Calls, joined: JoinedTransactions) -> ThreadingHTTPServer:
    """The other side: serves a service's calls, and the phases of its transactions."""
    phases: Calls = {
        "prepare": lambda transaction, calls: joined.prepare(transaction, calls).decode(),
        "validate": joined_call(joined.validate),
        "commit": joined_call(joined.commit),
        "rollback": joined_call(joined.rollback),
        "ready": lambda: True,
    }
    every = {**calls, **phases}

    class Handler(BaseHTTPRequestHandler):
        """One call."""

        def do_POST(self) -> None:  # the name that http.server looks for
            """Answer it."""
            length = min(int(self.headers["Content-Length"]), _BODY_BYTES_MAX)
            arguments = json.loads(self.rfile.read(length))
            try:
                status, answer = 200, every[self.path.strip("/")](**arguments)
            except CountersignError as error:
                is_conflict = isinstance(error, TransactionConflictError)
                status, answer = 409, {"code": error.code, "detail": error.detail, "is_conflict": is_conflict}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # as it is declared
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def joined_call(phase: Callable[[str], None]) -> Callable[..., None]:
    """A phase with its argument's name."""
    return lambda transaction: phase(transaction)
