"""Rejections: what is turned away, signed a batch at a time.

Rules (PROTOCOL 2):

1. Whoever failed authentication is bound by the hash of the envelope alone: anybody can write another's
   request_id. Such rejections are bounded per second, in at most one batch; the rest is only counted.
2. A *final* code of an authenticated request puts its request_id into the replay guard until it expires.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from protocol import merkle
from protocol.errors import ERRORS
from protocol.hashing import ZERO_HASH, tagged
from protocol.limits import SECOND_MS, Limits
from protocol.requests import OpenedRequest
from schemas.rejection import RejectionEntry, Rejections, RejectionsHeader
from storage.ports import ReplayEntry

FINALLY_REJECTED = -1
"""Sequence that the replay guard holds for a request that was rejected for good."""

_GUARDED_BY_TIME = frozenset({"request.expired", "request.forgotten", "request.replayed"})
"""Final codes that need no entry in the replay guard: time, or the guard itself, turns the request away
again."""


@dataclass(slots=True)
class RejectionList:
    """The rejections of one batch, in the order they were found."""

    entries: list[RejectionEntry] = field(default_factory=list)
    guarded: list[ReplayEntry] = field(default_factory=list)

    def add(self, request: OpenedRequest, code: str) -> None:
        """Reject an authenticated request."""
        final = is_final(code)
        self.entries.append(
            RejectionEntry(
                envelope_hash=tagged("envelope", request.envelope_bytes),
                request_id=request.request_id,
                code=code,
                final=final,
            )
        )
        if final and code not in _GUARDED_BY_TIME:
            self.guarded.append(ReplayEntry(request.request_id, request.body.expiry_ms, FINALLY_REJECTED))

    def add_unauthenticated(self, envelope_bytes: bytes, code: str) -> None:
        """Reject an envelope that nobody answers for."""
        self.entries.append(
            RejectionEntry(
                envelope_hash=tagged("envelope", envelope_bytes),
                request_id=ZERO_HASH,
                code=code,
                final=is_final(code),
            )
        )


class UnauthenticatedAllowance:
    """How many rejections of unauthenticated envelopes are still signed in this second."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._second = -1

    def take(self, now_ms: int, wanted: int) -> int:
        """How many of `wanted` may be signed now: a full allowance once a second, nothing after it."""
        second = now_ms // SECOND_MS
        if second == self._second or not wanted:
            return 0
        self._second = second
        return min(wanted, self._limits.unauthenticated_rejections_per_second)


def is_final(code: str) -> bool:
    """Whether a rejection with this code is for good."""
    return ERRORS[code].retry == "final"


def rejections_header(
    entries: Sequence[bytes],
    *,
    ledger_id: bytes,
    epoch: int,
    number: int,
    previous_hash: bytes,
    as_of_sequence: int,
) -> RejectionsHeader:
    """The header over the bytes of a batch's entries."""
    return RejectionsHeader(
        ledger_id=ledger_id,
        epoch=epoch,
        rejection_number=number,
        previous_hash=previous_hash,
        as_of_sequence=as_of_sequence,
        entries_root=merkle.root(entries),
        count=len(entries),
    )


def unsigned_rejections(header: bytes, entries: Sequence[bytes]) -> bytes:
    """What waits in the outbox: the message with an empty signature, which the sender fills in."""
    return Rejections(header=header, entries=tuple(entries), signature=bytes(64)).to_bytes()
