"""A server that speaks the protocol of Redis and says whatever a test wants; it stores nothing."""

import socketserver
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import hiredis

Answer = Callable[[list[bytes]], bytes]
"""Words of a command -> the bytes that answer it; none at all: the connection ends."""


class LyingServer:
    """Listens on a free port of loopback until it is closed.

    Args:
        answer: to every command but those of a connection's beginning.

    Attributes:
        asked: how often each command was.
    """

    def __init__(self, answer: Answer) -> None:
        self.asked: Counter[bytes] = Counter()
        asked = self.asked

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                reader = cast(Any, hiredis).Reader()
                while received := self.request.recv(65_536):
                    reader.feed(received)
                    while (words := reader.gets()) is not False:
                        asked[words[0]] += 1
                        said = _usual(words) or answer(words)
                        if not said:
                            return
                        self.request.sendall(said)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def close(self) -> None:
        """Take no more connections; those that are open end with their other side."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _usual(words: list[bytes]) -> bytes | None:
    if words[0] == b"CONFIG":
        settings = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
        settings["no-appendfsync-on-rewrite"] = "no"
        flat = [each for pair in settings.items() for each in pair]
        return b"*%d\r\n" % len(flat) + b"".join(map(bulk, flat))
    if words[0] == b"INFO":
        return bulk("# Cluster\r\ncluster_enabled:1\r\n")
    if words[0] in (b"CLIENT", b"SELECT", b"SCRIPT"):
        return b"+OK\r\n"
    return None


def bulk(text: str) -> bytes:
    """A string as it is sent."""
    return b"$%d\r\n%b\r\n" % (len(text.encode()), text.encode())
