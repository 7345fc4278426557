"""What a message on `evidence` proves, and the evidence that anybody can check by himself.

Rules:

1. A refusal is judged by what it has attached; one that proves nothing may convict the Ledger that signed it.
2. Strangers' contracts are executed in a bounded child process, as long as there is one to execute.
"""

from typing import NamedTuple

from protocol.configuration import Epochs
from protocol.evidence.build import false_accusation
from protocol.evidence.ports import Dispersal
from protocol.evidence.verdicts import Finding, Verdict
from protocol.evidence.verify import verify_evidence
from schemas.errors import MalformedMessageError
from schemas.evidence import Evidence
from schemas.rejection import Refused
from streams.engine_process import EngineProcess


class Judged(NamedTuple):
    """A message and its verdict.

    Attributes:
        kind: as it says of itself.
        evidence: the bytes of an `Evidence` that show the same; of a refusal, what it has attached, or the refusal
            as a false accusation. Empty if nobody can read it.
    """

    kind: str
    evidence: bytes
    verdict: Verdict


class EvidenceJudge:
    """Judges what stands on `evidence`.

    Args:
        epochs: of the ledger that is watched.
        dispersal: encodes blocks again, for evidence against replicas.
    """

    def __init__(self, epochs: Epochs, dispersal: Dispersal) -> None:
        self._epochs = epochs
        self._dispersal = dispersal

    def judge(self, data: bytes) -> Judged:
        """What a message proves."""
        with EngineProcess() as engine:
            try:
                return self._judged(Evidence.body_of(data), engine)
            except MalformedMessageError:
                pass
            try:
                return self._judge_refusal(Refused.body_of(data), engine)
            except MalformedMessageError as error:
                return Judged("unreadable", b"", Verdict(finding=Finding.NOTHING, explanation=str(error)))

    def _judge_refusal(self, body: bytes, engine: EngineProcess) -> Judged:
        """What a refusal's attachment proves against the Auditor, or else the refusal against the Ledger."""
        refused = Refused.from_bytes(body)
        if len(refused.attachments) == 1:
            try:
                judged = self._judged(refused.attachments[0], engine)
            except MalformedMessageError:
                pass
            else:
                if judged.verdict.convicts:
                    return judged
        return self._judged(false_accusation(self._epochs, refused).to_bytes(), engine)

    def _judged(self, body: bytes, engine: EngineProcess) -> Judged:
        kind = Evidence.from_bytes(body).kind
        ledger_id, known = self._epochs.ledger_id, self._epochs.signed
        return Judged(kind, body, verify_evidence(body, ledger_id, engine, dispersal=self._dispersal, known=known))
