"""A TCP proxy that can lose answers, and speak TLS to its clients."""

import contextlib
import socket
import ssl
import threading


class Proxy:
    """Forwards connections on a free loopback port to a server on another.

    Attributes:
        lose_answers: from now on, requests arrive, and each connection ends before its answer comes through.
        lost: number of answers that were lost.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._target = ("127.0.0.1", port)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lose_answers = False
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            stack.enter_context(client)
            server = stack.enter_context(socket.create_connection(self._target))
            threading.Thread(target=_copy, args=(client, server), daemon=True).start()
            while answer := server.recv(65_536):
                if self.lose_answers:
                    self.lost += 1
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(answer)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
