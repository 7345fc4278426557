"""Earlier decisions as builders of evidence need them: out of messages that nobody has checked."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from protocol import merkle
from protocol.configuration import Epochs
from protocol.countersigned import check_parts
from protocol.errors import CountersignError
from protocol.evidence.case import VerifySignature, verify_signature
from protocol.evidence.contradictions import VersionRead, name_of
from protocol.evidence.verdicts import NothingProvenError
from protocol.hashing import ZERO_HASH
from protocol.records import Record, RecordKey, record_hash
from schemas.errors import MalformedMessageError
from schemas.outcome import Outcome, WritePin
from schemas.statement import Decision


def select_decisions(
    messages: Iterable[bytes], epochs: Epochs, verify: VerifySignature = verify_signature
) -> dict[int, Decision]:
    """The authentic decisions among messages that claim to be some, by sequence.

    What was put under no signature, entries, outcomes and values, is compared with the roots and hashes that
    were.
    """
    decisions: dict[int, Decision] = {}
    for message in messages:
        try:
            decision = Decision.from_message(message)
            checked = check_parts(decision.signed, epochs)
            if checked.statement.sequence in decisions:
                continue
            for check in checked.checks:
                verify(check)
            if merkle.root(decision.outcomes) != checked.statement.outcomes_root:
                continue
            if merkle.root(decision.entries) != checked.header.entries_root:
                continue
            _check_values(epochs.ledger_id, decision)
        except (CountersignError, MalformedMessageError):
            continue
        decisions[checked.statement.sequence] = decision
    return decisions


def decision_at(decisions: Mapping[int, Decision], sequence: int) -> Decision:
    """The decision of a sequence.

    Raises:
        NothingProvenError: it was not found.
    """
    if sequence not in decisions:
        raise NothingProvenError(f"decision {sequence} was not found")
    return decisions[sequence]


def _check_values(ledger_id: bytes, decision: Decision) -> None:
    """Require one value for each version written, with its hash."""
    place = 0
    for outcome_bytes in decision.outcomes:
        outcome = Outcome.from_bytes(outcome_bytes)
        for write in outcome.writes:
            if place == len(decision.values):
                raise NothingProvenError("the decision lacks values")
            _record(ledger_id, outcome, write, decision.values[place])
            place += 1
    if place != len(decision.values):
        raise NothingProvenError("the decision has too many values")


class WrittenBatch(NamedTuple):
    """What a batch wrote: its outcomes, and the values beside them."""

    sequence: int
    outcomes: tuple[bytes, ...]
    values: tuple[bytes, ...]

    def record(self, ledger_id: bytes, read: VersionRead) -> Record:
        """The record version that was read from this batch.

        Raises:
            NothingProvenError: it wrote none, or its value is not the one that was signed.
        """
        index = read.writer[1]
        if not 0 <= index < len(self.outcomes):
            raise NothingProvenError(f"sequence {self.sequence} has no outcome {index}")
        place = sum(len(Outcome.from_bytes(data).writes) for data in self.outcomes[:index])
        outcome = Outcome.from_bytes(self.outcomes[index])
        for write in outcome.writes:
            if (write.namespace, write.key, write.version) == (*read.key, read.version):
                record = _record(ledger_id, outcome, write, self.values[place])
                return record._replace(writer_sequence=self.sequence, writer_index=index)
            place += 1
        raise NothingProvenError(f"{read.writer} did not write version {read.version} of {name_of(read.key)}")


def _record(ledger_id: bytes, outcome: Outcome, write: WritePin, value: bytes) -> Record:
    """The record of a write; what it replaced is among the outcome's reads."""
    key = RecordKey(write.namespace, write.key)
    previous_hash = ZERO_HASH
    for read in outcome.reads:
        if (read.namespace, read.key, read.version) == (write.namespace, write.key, write.version - 1):
            previous_hash = read.record_hash
    hashed = record_hash(ledger_id, key, write.version, write.deleted, value, outcome.request_id, previous_hash)
    if hashed != write.record_hash:
        raise NothingProvenError(
            f"the value of version {write.version} of {name_of(key)} is not the one that was signed"
        )
    return Record(
        version=write.version,
        deleted=write.deleted,
        value=value,
        request_id=outcome.request_id,
        previous_hash=previous_hash,
        record_hash=hashed,
        writer_sequence=-1,
        writer_index=-1,
    )
