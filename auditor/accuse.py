"""Accusing the Ledger: from a result that differs to evidence that convicts, or to a halt (PROTOCOL 3).

The worst failure of such a system is to accuse an honest party, so every piece of evidence is first checked by the
offline verifier; where it names the Auditor, or cannot judge, the Auditor halts and accuses nobody.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from protocol.configuration import Epochs
from protocol.errors import CountersignError
from protocol.evidence.case import presuming
from protocol.evidence.decisions import select_decisions
from protocol.evidence.disputes import Dispute, open_dispute
from protocol.evidence.local_engine import LocalEngine
from protocol.evidence.verdicts import Finding, NothingProvenError, Verdict
from protocol.evidence.verify import verify_evidence
from protocol.merkle import Frontier
from protocol.records import Record, RecordKey
from protocol.signatures import statement_hash
from schemas.statement import Decision, Result, Statement, Update
from storage.effects import Effect, Fetch, Fetched, FindDecisions, Note, Received, Sign, Signed
from storage.ports import Place, Version

Older = dict[RecordKey, list[Record]]

_SEARCHED_TOGETHER = 64
"""Decisions searched for at once: each search reads the whole topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accusation:
    """What came of a dispute: a message for `evidence`, or None and the code to halt with."""

    evidence: bytes | None
    code: str
    text: str


class Accuser:
    """Builds and checks accusations for one ledger."""

    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs
        self._engine: LocalEngine | None = None

    def accuse(self, mine: Update, result: Result) -> Generator[Effect, Any, Accusation]:
        """Find out who is at fault for a result that differs from the Auditor's own update.

        Args:
            mine: what the Auditor made of the order.
            result: what the Ledger made of it, endorsed by its signature.
        """
        try:
            dispute = open_dispute(self._epochs, mine, result)
            return (yield from self._settle(dispute))
        except NothingProvenError as error:
            return Accusation(evidence=None, code="store.contradicts_log", text=error.detail)

    def _settle(self, dispute: Dispute) -> Generator[Effect, Any, Accusation]:
        decisions = yield from self._find(dispute.needed_sequences)
        frontier = (yield from self._journal_before(dispute)) if dispute.needs_frontier else None
        older = yield from self._fetch(dispute, decisions)
        unsigned = dispute.build(decisions, older=older, frontier=frontier).to_bytes()
        verdict = self._judge(unsigned, dispute)
        if not (verdict.finding is Finding.GUILTY and verdict.culprit and verdict.culprit.role == "ledger"):
            text = f"sequence {dispute.statement.sequence}: {verdict}"
            return Accusation(evidence=None, code="store.contradicts_log", text=text)
        signature = yield from self._sign_own(dispute)
        evidence = dispute.build(decisions, older=older, frontier=frontier, own_signature=signature)
        text = f"{verdict.finding}: {verdict.culprit}: {verdict.explanation}"
        return Accusation(evidence=evidence.to_message(), code="evidence.raised", text=text)

    def _find(self, sequences: frozenset[int]) -> Generator[Effect, Any, dict[int, Decision]]:
        if not sequences:
            return {}
        found: Received = yield FindDecisions(sequences=tuple(sorted(sequences)))
        return select_decisions((message.value or b"" for message in found.messages), self._epochs)

    def _journal_before(self, dispute: Dispute) -> Generator[Effect, Any, Frontier]:
        """The journal as it was before the statement before the disputed one."""
        frontier = Frontier()
        for first in range(0, dispute.statement.sequence - 1, _SEARCHED_TOGETHER):
            last = min(first + _SEARCHED_TOGETHER, dispute.statement.sequence - 1)
            decisions = yield from self._find(frozenset(range(first, last)))
            for sequence in range(first, last):
                if sequence not in decisions:
                    raise NothingProvenError(f"decision {sequence} is missing")
                frontier = frontier.append(statement_hash(decisions[sequence].signed.statement))
        return frontier

    def _fetch(self, dispute: Dispute, decisions: dict[int, Decision]) -> Generator[Effect, Any, Older]:
        """The older versions that a contract may have seen by `history`."""
        wanted = dispute.histories(decisions)
        older: Older = {}
        if wanted:
            versions = tuple(Version(key, version) for key, version in wanted)
            fetched: Fetched = yield Fetch(versions=versions)
            for version in versions:
                older.setdefault(version.key, []).append(fetched.versions[version])
        return older

    def _judge(self, evidence: bytes, dispute: Dispute) -> Verdict:
        """What an offline verifier will say, once the Auditor has signed its own statement."""
        if self._engine is None:
            self._engine = LocalEngine()
        try:
            return verify_evidence(evidence, self._epochs.ledger_id, self._engine, verify=presuming(dispute.own_input))
        except CountersignError as error:
            return Verdict(finding=Finding.CANNOT_JUDGE, explanation=str(error))

    def _sign_own(self, dispute: Dispute) -> Generator[Effect, Any, bytes]:
        """The Auditor's own endorsement, noted like any other signature."""
        own = Statement.from_bytes(dispute.own.statement)
        identity = statement_hash(dispute.own.statement)
        yield Note(places=(Place("statement", own.epoch, own.sequence, identity, own.previous_statement_hash),))
        signed: Signed = yield Sign(messages=(dispute.own_input,))
        return signed.signatures[0]
