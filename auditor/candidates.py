"""From messages on `requests` to requests that may be ordered: opened, authenticated, in time, seen once.

Rules:

1. Authentication comes before anything that binds a request_id: the victim's body under a rubbish signature
   must not harm the victim's own request.
2. Nothing here decides by a clock: times are judged by the `ordered_at_ms` that the order will carry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from auditor.rejections import RejectionList
from protocol.contracts.calls import Call
from protocol.limits import Limits
from protocol.records import Record, RecordKey
from protocol.requests import (
    ClientSignatures,
    OpenedRequest,
    RequestError,
    TouchedRecords,
    call_of,
    check_times,
    open_request,
    records_of,
)
from protocol.signatures import SignatureCheck
from schemas.errors import MalformedMessageError
from schemas.request import Envelope
from storage.effects import Message
from storage.ports import BUCKET_MS, RequestExpiry


@dataclass(slots=True, kw_only=True)
class Candidates:
    """The requests of one batch on their way to being ordered.

    Attributes:
        requests: those still in the running, in the order of their messages.
        messages: the message each came in.
        unauthenticated: envelopes that nobody answers for, each with a code.
        unanswered: how many of these no rejection is signed for.
        rejections: requests that are turned away although they are authentic.
        skipped: messages that are no envelopes at all.
    """

    requests: list[OpenedRequest] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    unauthenticated: list[tuple[bytes, str]] = field(default_factory=list)
    unanswered: int = 0
    rejections: RejectionList = field(default_factory=RejectionList)
    skipped: int = 0

    def records(self) -> TouchedRecords:
        """The records these requests will touch."""
        return records_of(self.requests)

    def replay(self) -> tuple[RequestExpiry, ...]:
        """What to ask the replay guard."""
        return tuple(RequestExpiry(request.request_id, request.body.expiry_ms) for request in self.requests)

    def keep(self, kept: Sequence[bool]) -> None:
        """Drop the requests whose place in `kept` is false."""
        if all(kept):
            return
        pairs = [pair for pair, keep in zip(zip(self.requests, self.messages, strict=True), kept, strict=True) if keep]
        self.requests = [request for request, _ in pairs]
        self.messages = [message for _, message in pairs]

    def calls(self) -> tuple[Call, ...]:
        """What is to be executed."""
        return tuple(call_of(request) for request in self.requests)


def open_messages(messages: Sequence[Message], ledger_id: bytes, limits: Limits) -> Candidates:
    """Open what came in on `requests`; nothing of it is authentic yet."""
    candidates = Candidates()
    for message in messages:
        try:
            envelope_bytes = Envelope.body_of(message.value or b"")
        except MalformedMessageError:
            candidates.skipped += 1
            continue
        try:
            candidates.requests.append(open_request(envelope_bytes, ledger_id, limits))
            candidates.messages.append(message)
        except RequestError as error:
            candidates.unauthenticated.append((envelope_bytes, error.code))
    return candidates


def signature_checks(
    candidates: Candidates, records: Mapping[RecordKey, Record]
) -> tuple[tuple[SignatureCheck, ...], list[SignatureCheck]]:
    """The distinct checks to be done, and the one that each request needs.

    Requests of an unknown entity are dropped from the candidates: nobody answers for them.
    """
    signatures = ClientSignatures(records)
    known: list[bool] = []
    needed: list[SignatureCheck] = []
    for request in candidates.requests:
        check = signatures.check_of(request)
        known.append(check is not None)
        if check is None:
            candidates.unauthenticated.append((request.envelope_bytes, "entity.unknown"))
        else:
            needed.append(check)
    candidates.keep(known)
    return tuple(dict.fromkeys(needed)), needed


def drop_forged(candidates: Candidates, needed: Sequence[SignatureCheck], valid: Mapping[SignatureCheck, bool]) -> None:
    """Drop the requests whose signature is not their entity's."""
    for request, check in zip(candidates.requests, needed, strict=True):
        if not valid[check]:
            candidates.unauthenticated.append((request.envelope_bytes, "request.bad_signature"))
    candidates.keep([valid[check] for check in needed])


def drop_untimely(candidates: Candidates, *, ordered_at_ms: int, sequence: int, limits: Limits) -> None:
    """Reject what is out of its time or follows a receipt above `sequence`; drop what stands twice in the
    batch.
    """
    seen: set[bytes] = set()
    kept: list[bool] = []
    for request in candidates.requests:
        code = _untimely(request, ordered_at_ms, sequence, limits)
        if code:
            candidates.rejections.add(request, code)
        kept.append(not code and request.request_id not in seen)
        seen.add(request.request_id)
    candidates.keep(kept)


def _untimely(request: OpenedRequest, ordered_at_ms: int, sequence: int, limits: Limits) -> str:
    """Why a request may not be ordered now, empty if it may.

    `request.expired` says that it was not decided before, which the replay guard knows until it drops the bucket.
    """
    try:
        check_times(request.body, ordered_at_ms, limits)
    except RequestError as error:
        forgotten = request.body.expiry_ms // BUCKET_MS < ordered_at_ms // BUCKET_MS
        return "request.forgotten" if error.code == "request.expired" and forgotten else error.code
    return "request.after_unknown" if request.body.after > sequence else ""
