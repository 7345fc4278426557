"""How a client of the ledger is told to send."""

from dataclasses import dataclass

from protocol.errors import CountersignError


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How a client sends.

    Attributes:
        linger_ms: how long the first request of a batch waits for others.
        signed_together: most requests under one signature, of those the ledger allows; 1 signs each request by itself.
        in_flight: most requests without an answer; `submit` waits beyond that.
        expiry_ms: validity of a request, from the call; None for the ledger's own default.

    Raises:
        CountersignError: `config.invalid`, one is out of its range.
    """

    linger_ms: int = 2
    signed_together: int = 500
    in_flight: int = 10_000
    expiry_ms: int | None = None

    def __post_init__(self) -> None:
        """Refuse options with which nothing would ever be sent."""
        for name in ("signed_together", "in_flight", "expiry_ms"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise CountersignError("config.invalid", f"{name} is {value}")
