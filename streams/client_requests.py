"""The requests of a client that have no answer yet.

Rules:

1. Two threads use this, one sends and one receives, and an answer may come while its request is being sent again. Who
   takes a request out settles it, so each is settled once.
2. Whoever waits for an answer may give up and cancel its future. The answer is dropped then; the request may be decided
   all the same, but is not sent again.
"""

from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

from protocol.errors import CountersignError
from schemas.request import RequestBody
from streams.client_receipts import ClientReceipt

RESEND_FIRST_S = 5.0
RESEND_LONGEST_S = 30.0

LOOK_EACH_S = 0.25
"""How often old requests are looked for: there may be thousands."""


@dataclass(slots=True, kw_only=True)
class PendingRequest:
    """A request on its way.

    Attributes:
        body_bytes: the body as it is signed.
        request_id, envelope_hash, key, value: known once it is signed.
        send_again_at: by the monotonic clock.
        wait_s: how long it waits from then on, the next time.
    """

    body: RequestBody
    body_bytes: bytes
    request_id: bytes = b""
    envelope_hash: bytes = b""
    key: bytes = b""
    value: bytes = b""
    future: "Future[ClientReceipt]" = field(default_factory=Future)
    send_again_at: float = 0.0
    wait_s: float = RESEND_FIRST_S

    def settle(self, answer: ClientReceipt | Exception) -> None:
        """Tell whoever waits, if anybody still does."""
        with suppress(InvalidStateError):  # cancelled
            if isinstance(answer, Exception):
                self.future.set_exception(answer)
            else:
                self.future.set_result(answer)

    def put_off(self, now: float) -> None:
        """Wait for an answer again, each time twice as long."""
        self.send_again_at = now + self.wait_s
        self.wait_s = min(2 * self.wait_s, RESEND_LONGEST_S)


class PendingRequests:
    """Signed requests without an answer."""

    def __init__(self) -> None:
        self._by_id: dict[bytes, PendingRequest] = {}
        self._by_envelope: dict[bytes, PendingRequest] = {}
        self._look_at = 0.0

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, request: PendingRequest) -> None:
        """Expect an answer to a request."""
        self._by_id[request.request_id] = request
        self._by_envelope[request.envelope_hash] = request

    def of_id(self, request_id: bytes) -> PendingRequest | None:
        """The request with this id."""
        return self._by_id.get(request_id)

    def of_envelope(self, envelope_hash: bytes) -> PendingRequest | None:
        """The request in this envelope."""
        return self._by_envelope.get(envelope_hash)

    def settle(self, request: PendingRequest, answer: ClientReceipt | Exception) -> None:
        """Take a request out and tell whoever waits; nothing if it is out already."""
        if self._by_id.pop(request.request_id, None) is not None:
            self._by_envelope.pop(request.envelope_hash, None)
            request.settle(answer)

    def settle_all(self, error: CountersignError) -> None:
        """Take all out: there will be no answers."""
        for request in list(self._by_id.values()):
            self.settle(request, CountersignError(error.code, error.detail))

    def due(self, now: float) -> list[PendingRequest]:
        """Those that have waited for too long; nothing if this was asked a moment ago."""
        if now < self._look_at:
            return []
        self._look_at = now + LOOK_EACH_S
        return [request for request in list(self._by_id.values()) if request.send_again_at <= now]
