"""Accusing the Ledger: from a result that differs to evidence that convicts, or to a halt (PROTOCOL 3).

The worst failure of such a system is to accuse an honest party, so every piece of evidence is first checked
by the offline verifier; where it names the Auditor, or cannot judge, the Auditor halts and accuses nobody.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from protocol.configuration import Epochs
from schemas.statement import Result, Statement, Update
from storage.effects import Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Accusation:
    """What came of a dispute: evidence to publish, or None and the code to halt with."""

    evidence: bytes | None
    code: str
    text: str


class Accuser:
    """Builds and checks accusations for one ledger."""

    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs

    def accuse(
        self, mine: Update, result: Result, statement: Statement
    ) -> Generator[Effect, Any, Accusation]:
        """Find out who is at fault for a result that differs from the Auditor's own update."""
        yield from ()
        return Accusation(evidence=None, code="store.contradicts_log", text=f"sequence {statement.sequence}")
