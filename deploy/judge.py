"""Collecting evidence from its topic and judging it with the offline verifier."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.home import Home
from deploy.initialize import CLIENT
from deploy.presence import require_running
from learners.blame import BlockEncoder
from protocol.evidence.ports import Dispersal
from protocol.evidence.verdicts import Verdict
from protocol.evidence.verify import verify_evidence
from schemas.errors import MalformedMessageError
from schemas.evidence import Evidence
from schemas.topics import EVIDENCE
from streams.engine_process import EngineProcess
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


def judge(data: bytes, trusted_ledger_id: bytes, dispersal: Dispersal | None = None) -> Verdict:
    """Judge one piece, executing contracts in a child process where that is needed.

    Args:
        data: the bytes of an `Evidence`.
        trusted_ledger_id: of the ledger that is meant.
        dispersal: encodes blocks again, for evidence against replicas; by default for the epochs in the evidence.
    """
    encoder = dispersal or BlockEncoder.of_evidence(data, trusted_ledger_id)
    with EngineProcess() as engine:
        return verify_evidence(data, trusted_ledger_id, engine, dispersal=encoder)


def collect_evidence(home: Home) -> list[JudgedEvidence]:
    """Fetch all evidence, keep each piece in a file, and judge it.

    Raises:
        CountersignError: `config.missing`, `stack.down`, `broker.unreachable`.
    """
    configuration = home.load(CLIENT)
    require_running(home)
    trusted = bytes.fromhex(configuration.ledger_id)
    encoder = BlockEncoder(configuration.epochs())
    directory = home.client / "evidence"
    directory.mkdir(parents=True, exist_ok=True)
    reader = KafkaLogReader(configuration.connection())
    found: list[JudgedEvidence] = []
    try:
        for message in reader.read_all(EVIDENCE):
            if message.value is None or len(found) == _KEPT:
                continue
            try:
                body = Evidence.body_of(message.value)
                kind = Evidence.from_bytes(body).kind
            except MalformedMessageError:
                continue
            file = directory / f"{message.offset}.evidence"
            file.write_bytes(body)
            found.append(JudgedEvidence(kind=kind, file=file, verdict=judge(body, trusted, encoder)))
    finally:
        reader.close()
    return found
