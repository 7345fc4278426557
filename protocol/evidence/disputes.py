"""The Auditor's side: from a result of the Ledger that differs to evidence that convicts (RECOVERY,
"validate").

How it is used:

1. `open_dispute` compares the Auditor's own update with the Ledger's authentic result, and says what kind of
   evidence there is, and which earlier decisions and older versions it takes.
2. The caller fetches them, and `build` makes the file; where it needs the Auditor's own endorsement, that is
   left unsigned.
3. The caller has `verify_evidence` judge it, with `presuming(dispute.own_input)`. Only if that names the
   Ledger does he note and sign his own statement, build once more with the signature, and show the file to
   others. Where it names nobody, `build(..., accused="auditor")` tells whether the Auditor's own records are
   at fault.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from protocol import merkle
from protocol.configuration import Epochs, limits_of
from protocol.countersigned import header_copied
from protocol.errors import CountersignError
from protocol.evidence import build, kinds
from protocol.evidence.case import VerifySignature, verify_signature
from protocol.evidence.contradictions import VersionRead, genesis_of, name_of, versions_read
from protocol.evidence.decisions import WrittenBatch, decision_at
from protocol.evidence.leaves import has_versions, pins_read
from protocol.evidence.verdicts import NothingProvenError, Role
from protocol.merkle import Frontier
from protocol.records import Record, RecordKey
from protocol.signatures import SignatureCheck, auditor_endorsement_input, order_hash_input
from protocol.signing import SIGNATURE_SIZE
from schemas.errors import MalformedMessageError
from schemas.evidence import Evidence
from schemas.exhibit import AuditorStatement
from schemas.order import Entry, Order, OrderHeader
from schemas.outcome import Outcome
from schemas.statement import Decision, Result, Statement, Update

UNSIGNED = bytes(SIGNATURE_SIZE)
"""Stands for the Auditor's own signature until it is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A result that differs, and the evidence that it may become.

    Attributes:
        own: the Auditor's update.
        result: the Ledger's, authentic.
        kind: of evidence.
        claim: of a leaf contradiction, without its signer; else empty.
        index: of the entry in dispute; -1 if the statement itself is.
        needed_sequences: of the decisions that `build` wants.
    """

    epochs: Epochs
    own: Update
    result: Result
    statement: Statement
    kind: str
    claim: str = ""
    index: int = -1
    needed_sequences: frozenset[int] = frozenset()

    @property
    def needs_own_signature(self) -> bool:
        """Whether the evidence holds the Auditor's own endorsement."""
        return self.kind == kinds.EXECUTION

    @property
    def needs_frontier(self) -> bool:
        """Whether `build` wants the journal as it was before the statement before this one."""
        return self.claim == "journal root" and self.statement.sequence > 0

    @property
    def own_input(self) -> bytes:
        """What the Auditor signs to endorse its own statement."""
        own = Statement.from_bytes(self.own.statement)
        return auditor_endorsement_input(self.epochs.ledger_id, own.epoch, self.own.statement, self.own.salt)

    @property
    def order(self) -> Order:
        """The order in dispute; the Ledger's endorsement holds its signature."""
        return Order(header=self.own.header, entries=self.own.entries, signature=self.result.order_signature)

    @property
    def entry(self) -> Entry:
        """The entry in dispute."""
        return Entry.from_bytes(self.own.entries[self.index])

    def histories(self, decisions: Mapping[int, Decision]) -> tuple[tuple[RecordKey, int], ...]:
        """Which older versions `build` wants as well: those that a contract may have seen by `history`.

        Args:
            decisions: the needed ones.

        Returns:
            Keys and versions, newest first for each key.

        Raises:
            NothingProvenError: a decision is missing.
        """
        if self.kind != kinds.EXECUTION:
            return ()
        records = self._records(decisions)
        if not any(key.key.startswith("contract/") and b"history" in r.value for key, r in records.items()):
            return ()
        limits = limits_of(self.epochs.at(self.statement.epoch))
        count = max(0, limits.records_per_request - len(records))
        return tuple(
            (key, version)
            for key, record in records.items()
            for version in range(record.version - 1, max(0, record.version - 1 - count), -1)
        )

    def build(
        self,
        decisions: Mapping[int, Decision],
        *,
        older: Mapping[RecordKey, Sequence[Record]] | None = None,
        frontier: Frontier | None = None,
        own_signature: bytes = UNSIGNED,
        accused: Role = "ledger",
    ) -> Evidence:
        """Put the evidence together.

        Args:
            decisions: at least those of `needed_sequences`, from `select_decisions`.
            older: the versions that `histories` asked for, newest first.
            frontier: the journal before sequence - 1, if `needs_frontier`.
            own_signature: the Auditor's, over `own_input`.
            accused: whose leaf a leaf contradiction shows.

        Raises:
            NothingProvenError: what is needed is missing or does not fit.
        """
        if self.kind == kinds.UNSIGNED_ORDER:
            return build.unsigned_order(self.epochs, self.result)
        statement = build.ledger_part(self.result)
        by_auditor = AuditorStatement(
            statement=self.own.statement, salt=self.own.salt, auditor_signature=own_signature
        ).to_bytes()
        if self.kind == kinds.EXECUTION:
            return self._execution(statement, by_auditor, decisions, older or {})
        parts = [("statement", statement if accused == "ledger" else by_auditor)]
        parts += self._contradicting_parts(accused, decisions, frontier)
        return build.leaf_contradiction(self.epochs, accused, self.claim, parts)

    def _outcomes(self, party: Role) -> tuple[bytes, ...]:
        return self.result.outcomes if party == "ledger" else self.own.outcomes

    def _contradicting_parts(
        self, accused: Role, decisions: Mapping[int, Decision], frontier: Frontier | None
    ) -> list[tuple[str, bytes]]:
        """The parts of a leaf contradiction beside the statement."""
        if self.claim == "header":
            return [("order", build.order_part(self.order))]
        if self.index < 0:
            if self.statement.sequence == 0:
                return []
            parts = [("previous", build.decided_part(decision_at(decisions, self.statement.sequence - 1)))]
            if self.needs_frontier:
                if frontier is None:
                    raise NothingProvenError("the journal before this statement is not known")
                parts.append(("frontier", frontier.to_bytes()))
            return parts
        outcomes = self._outcomes(accused)
        parts = [("leaf", build.leaf_part(outcomes, self.index))]
        if self.claim in ("request", "versions"):
            parts.append(("entry", build.entry_part(self.order, self.index)))
        if self.claim == "read":
            sequence, index = self._read_in_dispute().writer
            if sequence == self.statement.sequence:
                parts.append(("earlier leaf", build.leaf_part(outcomes, index)))
            elif sequence >= 0:
                decision = decision_at(decisions, sequence)
                if index >= len(decision.outcomes):
                    raise NothingProvenError(f"sequence {sequence} has no outcome {index}")
                parts.append(("pin", build.decided_leaf_part(decision, index)))
        return parts

    def _read_in_dispute(self) -> VersionRead:
        read = _differing_read(
            Outcome.from_bytes(self.result.outcomes[self.index]),
            Outcome.from_bytes(self.own.outcomes[self.index]),
        )
        assert read is not None
        return read

    def _execution(
        self,
        by_ledger: bytes,
        by_auditor: bytes,
        decisions: Mapping[int, Decision],
        older: Mapping[RecordKey, Sequence[Record]],
    ) -> Evidence:
        parts = [
            ("entry", build.entry_part(self.order, self.index)),
            ("ledger statement", by_ledger),
            ("ledger leaf", build.leaf_part(self.result.outcomes, self.index)),
            ("auditor statement", by_auditor),
            ("auditor leaf", build.leaf_part(self.own.outcomes, self.index)),
        ]
        for key, record in self._records(decisions).items():
            if record.writer_sequence >= 0:
                parts.append(("record", build.record_part(key, record)))
            parts += [("record", build.record_part(key, version)) for version in older.get(key, ())]
        for sequence, index in sorted({read.writer for read in versions_read(self.entry) if read.version}):
            if sequence == self.statement.sequence:
                parts.append(("ledger pin", build.leaf_part(self.result.outcomes, index)))
                parts.append(("auditor pin", build.leaf_part(self.own.outcomes, index)))
            elif sequence >= 0:
                parts.append(("pin", build.decided_leaf_part(decision_at(decisions, sequence), index)))
        return build.make_evidence(self.epochs, self.kind, parts)

    def _records(self, decisions: Mapping[int, Decision]) -> dict[RecordKey, Record]:
        """The records that the entry read, those of the genesis among them."""
        genesis = genesis_of(self.epochs.genesis, self.epochs.ledger_id)
        own = WrittenBatch(self.statement.sequence, self.own.outcomes, self.own.values)
        records: dict[RecordKey, Record] = {}
        for read in versions_read(self.entry):
            sequence = read.writer[0]
            if read.version == 0:
                continue
            if sequence < 0:
                if read.key not in genesis:
                    raise NothingProvenError(f"{name_of(read.key)} is not in the genesis")
                records[read.key] = genesis[read.key]
            elif sequence == self.statement.sequence:
                records[read.key] = own.record(self.epochs.ledger_id, read)
            else:
                decision = decision_at(decisions, sequence)
                batch = WrittenBatch(sequence, decision.outcomes, decision.values)
                records[read.key] = batch.record(self.epochs.ledger_id, read)
        return records


def open_dispute(epochs: Epochs, own: Update, result: Result, verify: VerifySignature = verify_signature) -> Dispute:
    """See what the Ledger's result about the Auditor's own order could be evidence of.

    Args:
        epochs: of the ledger.
        own: the Auditor's update of the same sequence.
        result: the Ledger's; its signature was verified.
        verify: checks one signature.

    Raises:
        NothingProvenError: of nothing. Either the order is another one that the Auditor has signed: its log
            and its store contradict each other, and it must halt. Or the outcomes beside the statement are
            not those it fixes: whoever carried the message altered them, and it must be sent again. Or
            nothing differs.
        MalformedMessageError: the result's statement does not parse.
    """
    statement = Statement.from_bytes(result.statement)
    expected = Statement.from_bytes(own.statement)
    dispute = partial(Dispute, epochs=epochs, own=own, result=result, statement=statement)
    if not _order_is_signed(epochs, statement, result, verify):
        return dispute(kind=kinds.UNSIGNED_ORDER)
    if statement.order_hash != expected.order_hash:
        raise NothingProvenError("it is about another order, and the Auditor signed that")
    if not header_copied(statement, OrderHeader.from_bytes(own.header)):
        return dispute(kind=kinds.LEAF_CONTRADICTION, claim="header")
    before = frozenset({statement.sequence - 1} if statement.sequence else ())
    if statement.previous_statement_hash != expected.previous_statement_hash:
        return dispute(kind=kinds.LEAF_CONTRADICTION, claim="predecessor", needed_sequences=before)
    if statement.journal_root != expected.journal_root:
        return dispute(kind=kinds.LEAF_CONTRADICTION, claim="journal root", needed_sequences=before)
    if merkle.root(result.outcomes) != statement.outcomes_root or len(result.outcomes) != statement.count:
        raise NothingProvenError("the outcomes are not those that the statement fixes")
    for index, (theirs, mine) in enumerate(zip(result.outcomes, own.outcomes, strict=True)):
        if theirs != mine:
            kind, claim, needed = _judge_outcome(statement, own.entries[index], theirs, mine)
            return dispute(kind=kind, claim=claim, index=index, needed_sequences=needed)
    raise NothingProvenError("nothing differs")


def _order_is_signed(epochs: Epochs, statement: Statement, result: Result, verify: VerifySignature) -> bool:
    key = epochs.at(statement.epoch).auditor_key
    signed = order_hash_input(epochs.ledger_id, statement.epoch, statement.order_hash)
    try:
        verify(SignatureCheck(key, signed, result.order_signature))
    except CountersignError:
        return False
    return True


def _judge_outcome(
    statement: Statement, entry_bytes: bytes, theirs: bytes, mine: bytes
) -> tuple[str, str, frozenset[int]]:
    """Kind, claim and needed sequences for the first outcome that differs."""
    own = Outcome.from_bytes(mine)
    try:
        outcome = Outcome.from_bytes(theirs)
    except MalformedMessageError:
        return kinds.LEAF_CONTRADICTION, "malformed", frozenset()
    if outcome.index != own.index:
        return kinds.LEAF_CONTRADICTION, "malformed", frozenset()
    entry = Entry.from_bytes(entry_bytes)
    if _copied(outcome) != _copied(own):
        return kinds.LEAF_CONTRADICTION, "request", frozenset()
    if not has_versions(outcome, entry):
        return kinds.LEAF_CONTRADICTION, "versions", frozenset()
    read = _differing_read(outcome, own)
    if read is not None:
        return kinds.LEAF_CONTRADICTION, "read", _earlier({read.writer[0]}, statement)
    writers = {read.writer[0] for read in versions_read(entry) if read.version}
    return kinds.EXECUTION, "", _earlier(writers, statement)


def _copied(outcome: Outcome) -> tuple[object, ...]:
    """What an outcome copies from its request."""
    return (
        outcome.request_id,
        outcome.entity,
        outcome.key_version,
        outcome.contract,
        outcome.contract_version,
    )


def _differing_read(theirs: Outcome, mine: Outcome) -> VersionRead | None:
    """The first version that the two read with different hashes."""
    for read, own in zip(pins_read(theirs), pins_read(mine), strict=False):
        if read.record_hash != own.record_hash:
            key = RecordKey(read.namespace, read.key)
            return VersionRead(key, read.version, (read.writer_sequence, read.writer_index))
    return None


def _earlier(sequences: set[int], statement: Statement) -> frozenset[int]:
    return frozenset(sequence for sequence in sequences if 0 <= sequence < statement.sequence)
