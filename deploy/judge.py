"""Collecting evidence from its topic and judging it with the offline verifier."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.home import Home
from deploy.initialize import CLIENT
from deploy.presence import require_running
from learners.blame import BlockEncoder
from protocol.evidence.verdicts import Verdict
from protocol.evidence.verify import verify_evidence
from schemas.topics import EVIDENCE
from streams.engine_process import EngineProcess
from streams.evidence_judge import EvidenceJudge
from streams.kafka_log import KafkaLogReader

_KEPT = 1_000
"""The most pieces that are kept: anybody can write to the topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedEvidence:
    """A piece of evidence in a file, and what it proves."""

    kind: str
    file: Path
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "kind": self.kind,
            "file": str(self.file),
            "finding": str(self.verdict.finding),
            "culprit": str(self.verdict.culprit) if self.verdict.culprit else None,
            "explanation": self.verdict.explanation,
        }


def judge(data: bytes, trusted_ledger_id: bytes, known: Sequence[bytes] = ()) -> Verdict:
    """Judge one piece without a server, executing contracts in a child process where that is needed.

    Args:
        data: the bytes of an `Evidence`.
        trusted_ledger_id: of the ledger that is meant.
        known: the `SignedConfiguration`s of it that the reader knows himself.
    """
    encoder = BlockEncoder.of_evidence(data, trusted_ledger_id, known)
    with EngineProcess() as engine:
        return verify_evidence(data, trusted_ledger_id, engine, dispersal=encoder, known=known)


def collect_evidence(home: Home) -> list[JudgedEvidence]:
    """Fetch all evidence, each piece once, keep it in a file, and judge it.

    A refusal that proves its code comes beside its evidence; one that does not is evidence against the Ledger.

    Raises:
        CountersignError: `config.missing`, `stack.down`, `broker.unreachable`.
    """
    configuration = home.load(CLIENT)
    require_running(home)
    epochs = configuration.epochs()
    judges = EvidenceJudge(epochs, BlockEncoder(epochs))
    directory = home.client / "evidence"
    directory.mkdir(parents=True, exist_ok=True)
    reader = KafkaLogReader(configuration.connection())
    found: list[JudgedEvidence] = []
    seen: set[bytes] = {b""}
    try:
        for message in reader.read_all(EVIDENCE):
            if message.value is None or len(found) == _KEPT:
                continue
            judged = judges.judge(message.value)
            if judged.evidence not in seen:
                seen.add(judged.evidence)
                file = directory / f"{message.offset}.evidence"
                file.write_bytes(judged.evidence)
                found.append(JudgedEvidence(kind=judged.kind, file=file, verdict=judged.verdict))
    finally:
        reader.close()
    return found
