"""Leaf contradictions: a statement or an outcome that one party signed, against what was signed before.

Rules:

1. Who signed the statement is convicted; whoever ordered it is not asked. An honest party signs only what it
   computed itself, from the order, its records and the journal before it.
2. Two parties' evidence is two files: each names one statement and its one signer.
"""

from protocol import merkle
from protocol.countersigned import header_copied
from protocol.evidence.case import Case
from protocol.evidence.contradictions import genesis_of
from protocol.evidence.entries import open_entry_request
from protocol.evidence.exhibits import (
    ShownEntry,
    ShownOutcome,
    ShownStatement,
    show_decided,
    show_decided_outcome,
    show_entry,
    show_leaf,
    show_order,
    show_statement,
)
from protocol.evidence.pins import hash_of_write
from protocol.evidence.verdicts import NothingProvenError, Proven, Role
from protocol.hashing import ZERO_HASH
from protocol.records import RecordKey
from protocol.requests import OpenedRequest
from schemas.errors import MalformedMessageError
from schemas.order import Entry, ReadVersion, RowVersion, ScanVersions, WriteVersion
from schemas.outcome import Outcome, ReadPin


def judge_header(case: Case, signer: Role) -> Proven:
    """A statement that names an order and copies its header wrongly."""
    shown = show_statement(case, "statement", signer)
    order = show_order(case, case.part("order"), may_be_void=True)
    if shown.statement.order_hash != order.order_hash:
        raise NothingProvenError("the statement is about another order")
    if header_copied(shown.statement, order.header):
        raise NothingProvenError("the statement copies the order's header")
    return Proven(shown.signer, f"its statement {shown.statement.sequence} copies the order's header wrongly")


def judge_malformed(case: Case, signer: Role) -> Proven:
    """A leaf under a signed root that is no outcome, or has another index."""
    shown, leaf = _leaf(case, signer)
    try:
        index = leaf.outcome.index
    except MalformedMessageError as error:
        return Proven(shown.signer, f"{_named(leaf)} is none: {error}")
    if index == leaf.index:
        raise NothingProvenError("the leaf is an outcome in its place")
    return Proven(shown.signer, f"{_named(leaf)} says it is {index}")


def judge_request(case: Case, signer: Role) -> Proven:
    """An outcome of another request than the entry's."""
    shown, leaf = _leaf(case, signer)
    entry = _entry_of(case, shown, leaf)
    if names_request(leaf.outcome, open_entry_request(case, entry)):
        raise NothingProvenError("the outcome is of the request in the entry")
    return Proven(shown.signer, f"{_named(leaf)} is of another request than was ordered")


def names_request(outcome: Outcome, request: OpenedRequest) -> bool:
    """Whether an outcome repeats what it copies from its request faithfully."""
    body = request.body
    copied = (
        outcome.request_id,
        outcome.entity,
        outcome.key_version,
        outcome.contract,
        outcome.contract_version,
    )
    return copied == (request.request_id, body.entity, body.key_version, body.contract, body.contract_version)


def judge_versions(case: Case, signer: Role) -> Proven:
    """An outcome with other versions read, scanned or written than the entry says."""
    shown, leaf = _leaf(case, signer)
    entry = _entry_of(case, shown, leaf)
    if has_versions(leaf.outcome, entry.entry):
        raise NothingProvenError("the outcome has the entry's versions")
    return Proven(shown.signer, f"{_named(leaf)} has other versions than were ordered")


def has_versions(outcome: Outcome, entry: Entry) -> bool:
    """Whether an outcome reads, scans and writes the versions of its entry."""
    reads = tuple(ReadVersion(*read[:5]) for read in outcome.reads)
    scans = tuple(
        ScanVersions(*scan[:6], rows=tuple(RowVersion(*row[:4]) for row in scan.rows)) for scan in outcome.scans
    )
    writes = tuple(WriteVersion(*write[:4]) for write in outcome.writes)
    return (reads, scans, writes) == (entry.reads, entry.scans, entry.writes)


def pins_read(outcome: Outcome) -> tuple[ReadPin, ...]:
    """All versions an outcome relies on with their hashes, rows of scans among them."""
    rows = tuple(ReadPin(scan.namespace, *row) for scan in outcome.scans for row in scan.rows)
    return outcome.reads + rows


def judge_read(case: Case, signer: Role) -> Proven:
    """An outcome that read a version with another hash than its pin: a record that was altered."""
    shown, leaf = _leaf(case, signer)
    reads = pins_read(leaf.outcome)
    if case.has("pin"):
        pin = show_decided_outcome(case, case.part("pin"))
        if pin.sequence >= shown.statement.sequence:
            raise NothingProvenError("the pin is not earlier")
        altered = _altered(reads, pin)
    elif case.has("earlier leaf"):
        pin = show_leaf(case.part("earlier leaf"), shown.statement)
        if pin.index >= leaf.index:
            raise NothingProvenError("the pin is not earlier")
        altered = _altered(reads, pin)
    else:
        altered = _altered_since_genesis(case, reads)
    if altered is None:
        raise NothingProvenError("every hash read is that of its pin")
    where = f"{altered.namespace}/{altered.key}"
    text = f"{_named(leaf)} read version {altered.version} of {where} with another hash than it was written with"
    return Proven(shown.signer, text)


def _altered(reads: tuple[ReadPin, ...], pin: ShownOutcome) -> ReadPin | None:
    """The first read of something that the pin wrote, with another hash."""
    wrote = {(write.namespace, write.key, write.version) for write in pin.outcome.writes}
    for read in reads:
        if (read.writer_sequence, read.writer_index) != (pin.sequence, pin.index) or read[:3] not in wrote:
            continue
        if hash_of_write(pin, RecordKey(read.namespace, read.key), read.version) != read.record_hash:
            return read
    return None


def _altered_since_genesis(case: Case, reads: tuple[ReadPin, ...]) -> ReadPin | None:
    """The first read of an initial or an absent record with a hash that it cannot have."""
    genesis = genesis_of(case.epochs.genesis, case.ledger_id)
    for read in reads:
        if read.version == 0 and read.record_hash != ZERO_HASH:
            return read
        initial = genesis.get(RecordKey(read.namespace, read.key))
        if initial and (read.version, read.writer_sequence) == (1, -1) and read.record_hash != initial.record_hash:
            return read
    return None


def judge_predecessor(case: Case, signer: Role) -> Proven:
    """A statement that does not follow the one before it, which both parties signed."""
    shown = show_statement(case, "statement", signer)
    expected = _expected_predecessor(case, shown)
    if shown.statement.previous_statement_hash == expected:
        raise NothingProvenError("the statement follows the one before it")
    return Proven(shown.signer, f"its statement {shown.statement.sequence} does not follow the one before it")


def _expected_predecessor(case: Case, shown: ShownStatement) -> bytes:
    if case.has("previous"):
        previous = show_decided(case, case.part("previous"))
        if previous.statement.sequence != shown.statement.sequence - 1:
            raise NothingProvenError("the statements are not neighbours")
        return previous.statement_hash
    if shown.statement.sequence != 0:
        raise NothingProvenError("the statement before it is missing")
    return ZERO_HASH


def judge_journal_root(case: Case, signer: Role) -> Proven:
    """A statement whose journal is not that of the doubly signed one before it, with that one appended."""
    shown = show_statement(case, "statement", signer)
    sequence = shown.statement.sequence
    if case.has("previous"):
        previous = show_decided(case, case.part("previous"))
        frontier = merkle.Frontier.from_bytes(case.part("frontier"))
        before = previous.statement
        if (before.sequence, frontier.size) != (
            sequence - 1,
            sequence - 1,
        ) or frontier.root() != before.journal_root:
            raise NothingProvenError("the journal shown is not that of the statement before it")
        expected = frontier.append(previous.statement_hash).root()
    elif sequence == 0:
        expected = merkle.EMPTY_ROOT
    else:
        raise NothingProvenError("the statement before it is missing")
    if shown.statement.journal_root == expected:
        raise NothingProvenError("the statement extends the journal")
    return Proven(shown.signer, f"its statement {sequence} does not extend the journal")


def _leaf(case: Case, signer: Role) -> tuple[ShownStatement, ShownOutcome]:
    shown = show_statement(case, "statement", signer)
    return shown, show_leaf(case.part("leaf"), shown.statement)


def _entry_of(case: Case, shown: ShownStatement, leaf: ShownOutcome) -> ShownEntry:
    """The entry that an outcome is about."""
    entry = show_entry(case, case.part("entry"))
    if shown.statement.order_hash != entry.order.order_hash or entry.index != leaf.index:
        raise NothingProvenError("the entry is of another order or place")
    return entry


def _named(leaf: ShownOutcome) -> str:
    return f"its outcome {leaf.index} of sequence {leaf.sequence}"
