"""Nonces: two requests of the same call with the same one would be one request."""

import threading

from schemas.request import NONCE_SIZE
from streams.client_nonces import Nonces


def test_nobody_gets_what_another_got() -> None:
    """However many threads draw at once, and far beyond what is drawn together."""
    nonces = Nonces()
    taken = [list[bytes]() for _ in range(4)]

    def take(mine: list[bytes]) -> None:
        mine += [nonces.take() for _ in range(2_000)]

    threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [nonce for mine in taken for nonce in mine]
    assert len(set(everything)) == len(everything) == 8_000
    assert {len(nonce) for nonce in everything} == {NONCE_SIZE}
