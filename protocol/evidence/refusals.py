"""Refusals: what the Ledger proves by attaching evidence, and what convicts the Ledger if it does not.

Rules:

1. A refusal's one attachment is an evidence file of its own, of kind "order contradiction", about the order
   it refuses, with the refusal's code as its claim. So the refusal's signature covers all that a verifier
   needs.
2. The attachment is judged by the configurations in it, which are those that the Ledger knew: an order that
   became void later contradicted others when it was refused.
"""

from collections.abc import Callable

from protocol.evidence.case import Case
from protocol.evidence.verdicts import AUDITOR, LEDGER, Finding, NothingProvenError, Proven, Verdict
from protocol.hashing import tagged
from protocol.signatures import refusal_input
from schemas.errors import MalformedMessageError
from schemas.evidence import Evidence
from schemas.exhibit import SignedHeader, SignedLeaf
from schemas.order import OrderHeader
from schemas.rejection import Refusal, Refused

ORDER_CONTRADICTION = "order contradiction"

JudgeAttachment = Callable[[Case, bytes], Verdict]
"""Judges an evidence file with the ledger and ports of a case, but by the configurations in the file."""


def judge_refusal(case: Case, judge: JudgeAttachment) -> Proven:
    """A refusal whose attachment does not prove its code."""
    refused = Refused.from_bytes(case.part("refusal"))
    refusal = Refusal.from_bytes(refused.refusal)
    header = OrderHeader.from_bytes(refusal.header)
    case.require_ledger(header.ledger_id, header.format)
    case.configuration(refused.epoch)
    signed = refusal_input(case.ledger_id, refused.epoch, refused.refusal)
    case.authenticate(LEDGER, refused.epoch, signed, refused.signature)
    if len(refused.attachments) != 1:
        raise NothingProvenError("the refusal has no attachment")
    (attachment,) = refused.attachments
    if tagged("attachments", attachment) != refusal.attachments_hash:
        raise NothingProvenError("the attachment is not the one that was signed")
    if not _is_about(attachment, refusal):
        return _false(header, "its attachment is about something else")
    verdict = judge(case, attachment)
    if verdict.finding is Finding.GUILTY and verdict.culprit == AUDITOR:
        raise NothingProvenError("the refusal proves its code: judge its attachment")
    if verdict.finding in (Finding.CANNOT_JUDGE, Finding.KEY):
        raise NothingProvenError(f"its attachment: {verdict}")
    return _false(header, verdict.explanation)


def _is_about(attachment: bytes, refusal: Refusal) -> bool:
    """Whether an evidence file claims the refusal's code of the order that it refuses."""
    try:
        evidence = Evidence.from_bytes(attachment)
        headers = {SignedLeaf.from_bytes(part.data).header for part in evidence.parts if part.name == "entry"}
        headers |= {SignedHeader.from_bytes(part.data).header for part in evidence.parts if part.name == "order"}
    except MalformedMessageError:
        return False
    claims = [part.data for part in evidence.parts if part.name == "claim"]
    return evidence.kind == ORDER_CONTRADICTION and claims == [refusal.code.encode()] and refusal.header in headers


def _false(header: OrderHeader, reason: str) -> Proven:
    text = f"its refusal of order {header.sequence} does not prove its code: {reason}"
    return Proven(LEDGER, text, Finding.FALSE_ACCUSER)
