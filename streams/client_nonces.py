"""The nonces of a client's requests."""

import secrets

from schemas.request import NONCE_SIZE

_DRAWN_AT_ONCE = 256


class Nonces:
    """Random nonces for any number of threads, drawn many at a time: drawing gives the interpreter's lock away."""

    def __init__(self) -> None:
        self._drawn: list[bytes] = []

    def take(self) -> bytes:
        """One that nobody else gets."""
        try:
            return self._drawn.pop()
        except IndexError:
            drawn = secrets.token_bytes(NONCE_SIZE * _DRAWN_AT_ONCE)
            first, *rest = (drawn[at : at + NONCE_SIZE] for at in range(0, len(drawn), NONCE_SIZE))
            self._drawn += rest
            return first
