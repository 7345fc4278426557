"""The offline verifier of evidence: bytes and a trusted ledger_id in, a verdict out (PROTOCOL 4)."""

from collections import defaultdict
from collections.abc import Sequence

from protocol.configuration import check_newest_epochs
from protocol.errors import CountersignError
from protocol.evidence.case import Case, VerifySignature, verify_signature
from protocol.evidence.kinds import CLAIM, find_row, table
from protocol.evidence.ports import Dispersal, Engine
from protocol.evidence.refusals import judge_refusal
from protocol.evidence.verdicts import CannotJudgeError, Finding, NothingProvenError, Verdict
from schemas.errors import MalformedMessageError
from schemas.evidence import Evidence

FORMAT = 1

EVIDENCE_BYTES = 8 * 1024 * 1024
"""The largest file that is read; what a message may have by default."""

PARTS = 1024
"""The most parts that a file may have."""


def verify_evidence(
    data: bytes,
    trusted_ledger_id: bytes,
    engine: Engine | None = None,
    *,
    dispersal: Dispersal | None = None,
    known: Sequence[bytes] = (),
    verify: VerifySignature = verify_signature,
) -> Verdict:
    """Judge a piece of evidence. Whatever the bytes, this returns a verdict.

    Args:
        data: the bytes of an `Evidence`.
        trusted_ledger_id: of the ledger that the reader means; never taken from the file.
        engine: executes contracts again; without it, what depends on that cannot be judged.
        dispersal: encodes blocks again; likewise.
        known: the bytes of the `SignedConfiguration`s that the reader knows himself. They may be more than
            the file has: then they say which keys are retired and what is void.
        verify: checks one signature; another one only for a party that checks its own evidence before it
            signs.
    """
    try:
        case, evidence = _open(data, trusted_ledger_id, engine, dispersal, known, verify)
        claim, names = _claim_of(evidence)
        row = find_row(ROWS, evidence.kind, claim, names)
        proven = row.judge(case)
    except CannotJudgeError as error:
        return Verdict(finding=Finding.CANNOT_JUDGE, explanation=error.detail)
    except (CountersignError, MalformedMessageError) as error:
        return Verdict(finding=Finding.NOTHING, explanation=_text(error))
    if case.uses_retired_key(proven.culprit):
        text = f"a key that the {proven.culprit} has given up signed this: {proven.explanation}"
        return Verdict(finding=Finding.KEY, culprit=proven.culprit, status="retired", explanation=text)
    return Verdict(finding=proven.finding, culprit=proven.culprit, explanation=proven.explanation)


def _open(
    data: bytes,
    trusted_ledger_id: bytes,
    engine: Engine | None,
    dispersal: Dispersal | None,
    known: Sequence[bytes],
    verify: VerifySignature,
) -> tuple[Case, Evidence]:
    if len(data) > EVIDENCE_BYTES:
        raise NothingProvenError(f"{len(data)} bytes", "evidence.malformed")
    evidence = Evidence.from_bytes(data)
    if evidence.format != FORMAT:
        raise CannotJudgeError(f"evidence of format {evidence.format}")
    if evidence.ledger_id != trusted_ledger_id:
        raise NothingProvenError("it names another ledger", "evidence.ledger")
    if len(evidence.parts) > PARTS:
        raise NothingProvenError(f"{len(evidence.parts)} parts", "evidence.malformed")
    parts: defaultdict[str, list[bytes]] = defaultdict(list)
    for part in evidence.parts:
        parts[part.name].append(part.data)
    epochs = check_newest_epochs(trusted_ledger_id, evidence.genesis, evidence.configurations, known)
    return Case(epochs=epochs, parts=dict(parts), engine=engine, dispersal=dispersal, verify=verify), evidence


def _claim_of(evidence: Evidence) -> tuple[str, list[str]]:
    """The claim of a file, empty if there is none, and the names of its other parts."""
    claims = [part.data for part in evidence.parts if part.name == CLAIM]
    if len(claims) > 1 or b"" in claims:
        raise NothingProvenError("it has two claims, or an empty one")
    names = [part.name for part in evidence.parts if part.name != CLAIM]
    try:
        return (claims[0].decode() if claims else ""), names
    except UnicodeDecodeError as error:
        raise NothingProvenError("its claim is no text") from error


def _text(error: CountersignError | MalformedMessageError) -> str:
    return f"{error.code}: {error.detail}" if isinstance(error, CountersignError) else str(error)


def _judge_attachment(case: Case, attachment: bytes) -> Verdict:
    return verify_evidence(attachment, case.ledger_id, case.engine, dispersal=case.dispersal, verify=case.verify)


ROWS = table(lambda case: judge_refusal(case, _judge_attachment))
"""The table of kinds."""
