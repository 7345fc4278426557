"""Who is exposed: what the offline verifier found in each piece of evidence on the log.

Evidence is unsigned, and whoever may write to its topic can write rubbish. So only a verdict that convicts
exposes anybody; everything else is counted as unproven, and named by what the verifier said.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from protocol.evidence.verdicts import Verdict

_EXPOSURES_MAX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedEvidence:
    """A message on `evidence` and its verdict.

    Attributes:
        kind: as it says of itself.
        evidence_hash: SHA-256 of its bytes, to know it by.
        at_ms: the broker's time.
    """

    kind: str
    verdict: Verdict
    evidence_hash: bytes
    at_ms: int


@dataclass(slots=True, kw_only=True)
class Exposure:
    """What convicts a culprit of one kind of misbehaviour: the first evidence, and how many there are."""

    first: JudgedEvidence
    pieces: int = 1

    def to_json(self) -> dict[str, Any]:
        """For the page."""
        verdict = self.first.verdict
        assert verdict.culprit is not None, "a verdict that convicts names somebody"
        return {
            "culprit": str(verdict.culprit),
            "role": verdict.culprit.role,
            "replica": verdict.culprit.replica,
            "finding": str(verdict.finding),
            "kind": self.first.kind,
            "explanation": verdict.explanation,
            "evidence": self.first.evidence_hash.hex(),
            "at_ms": self.first.at_ms,
            "pieces": self.pieces,
        }


class Exposures:
    """All evidence that was read."""

    def __init__(self) -> None:
        self.judged = 0
        self.waiting = 0
        self.unproven: Counter[str] = Counter()
        self._exposures: dict[tuple[str, str], Exposure] = {}

    def take(self, judged: JudgedEvidence) -> None:
        """Take in a verdict."""
        self.judged += 1
        if not judged.verdict.convicts:
            self.unproven[str(judged.verdict.finding)] += 1
            return
        key = (str(judged.verdict.culprit), judged.kind)
        if key in self._exposures:
            self._exposures[key].pieces += 1
        elif len(self._exposures) < _EXPOSURES_MAX:
            self._exposures[key] = Exposure(first=judged)

    def exposes(self, culprit: str) -> bool:
        """Whether somebody is convicted: "auditor", "ledger", "replica 2"."""
        return any(convicted == culprit for convicted, _ in self._exposures)

    def snapshot(self) -> dict[str, Any]:
        """For the page."""
        return {
            "exposed": [exposure.to_json() for exposure in self._exposures.values()],
            "judged": self.judged,
            "unproven": dict(self.unproven),
            "waiting": self.waiting,
        }
