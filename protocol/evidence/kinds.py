"""The table of all kinds of evidence: what a file must hold, and who judges it (PROTOCOL 4).

Rules:

1. A file has exactly the parts of one row: a name alone stands for one part, `2 *` for two, `*` for any
   number. What is missing or superfluous makes it prove nothing.
2. A row's claim is the file's part "claim"; rows without one have no such part.
3. What a part is made of stands in `schemas.exhibit`; but "refusal" is a `Refused`, "piece", "other" and
   "previous" are a `Piece`, "block" and "frontier" raw bytes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from protocol.evidence import contradictions, entries, execution, leaves, replica, replicas, signed_twice
from protocol.evidence.case import Case
from protocol.evidence.refusals import ORDER_CONTRADICTION
from protocol.evidence.verdicts import NothingProvenError, Proven, Role

Judge = Callable[[Case], Proven]

CLAIM = "claim"

TWO_ORDERS = "two orders"
TWO_STATEMENTS = "two statements"
UNSIGNED_ORDER = "unsigned order"
LEAF_CONTRADICTION = "leaf contradiction"
EXECUTION = "execution"
COMMITMENT = "commitment"
REJECTED_THEN_ORDERED = "rejection, then order"
REPLICA = "replica"
FALSE_BLOCK = "false block"
TOO_MANY_LIARS = "too many liars"
REWRITTEN_PAST = "rewritten past"
ABOVE_CUT = "above the cut"
TWO_OF_A_PLACE = "two of a place"
FALSE_ACCUSATION = "false accusation"


class Row(NamedTuple):
    """One form of one kind of evidence."""

    kind: str
    claim: str
    parts: tuple[str, ...]
    judge: Judge


def _orders() -> Iterable[Row]:
    """Order contradictions; the claim is the code with which the Ledger refuses."""
    rows: tuple[tuple[str, tuple[str, ...], Judge], ...] = (
        ("order.stale_read", ("entry", "earlier"), contradictions.judge_stale_read),
        ("order.stale_read", ("entry",), contradictions.judge_stale_read),
        ("order.second_writer", ("entry", "earlier"), contradictions.judge_second_writer),
        ("order.second_writer", ("entry",), contradictions.judge_second_writer),
        ("order.false_writer", ("entry", "writer"), contradictions.judge_false_writer),
        ("order.false_writer", ("entry", "writer order"), contradictions.judge_false_writer),
        ("order.false_writer", ("entry",), contradictions.judge_false_writer),
        ("order.repeated", ("2 * entry",), contradictions.judge_repeated),
        ("order.not_after", ("entry",), entries.judge_not_after),
        ("order.time", ("entry",), entries.judge_time),
        ("order.time", ("order", "previous"), contradictions.judge_falling_time),
        ("order.predecessor", ("order", "previous"), contradictions.judge_predecessor),
        ("order.predecessor", ("order",), contradictions.judge_predecessor),
        ("order.client", ("entry",), entries.judge_client),
        ("order.client", ("entry", "key", "key pin"), entries.judge_client),
        ("order.malformed", ("entry",), entries.judge_malformed_entry),
        ("order.malformed", ("order",), entries.judge_malformed_order),
        ("order.versions", ("entry", "* record", "* pin"), execution.judge_ordered_execution),
    )
    return (Row(ORDER_CONTRADICTION, *row) for row in rows)


def _leaves(signer: Role) -> Iterable[Row]:
    """Leaf contradictions; the claim begins with whose statement it is."""
    rows: tuple[tuple[str, tuple[str, ...], Callable[[Case, Role], Proven]], ...] = (
        ("header", ("order",), leaves.judge_header),
        ("malformed", ("leaf",), leaves.judge_malformed),
        ("request", ("leaf", "entry"), leaves.judge_request),
        ("versions", ("leaf", "entry"), leaves.judge_versions),
        ("read", ("leaf", "pin"), leaves.judge_read),
        ("read", ("leaf", "earlier leaf"), leaves.judge_read),
        ("read", ("leaf",), leaves.judge_read),
        ("predecessor", ("previous",), leaves.judge_predecessor),
        ("predecessor", (), leaves.judge_predecessor),
        ("journal root", ("previous", "frontier"), leaves.judge_journal_root),
        ("journal root", (), leaves.judge_journal_root),
    )
    for claim, parts, judge in rows:
        yield Row(LEAF_CONTRADICTION, f"{signer} {claim}", ("statement", *parts), _by(signer, judge))


def _rest() -> Iterable[Row]:
    """Every other kind but false accusation."""
    yield Row(TWO_ORDERS, "", ("2 * order",), signed_twice.judge_two_orders)
    yield Row(TWO_STATEMENTS, "auditor", ("2 * auditor statement",), signed_twice.judge_two_auditor_statements)
    yield Row(TWO_STATEMENTS, "ledger", ("2 * ledger statement",), signed_twice.judge_two_ledger_statements)
    yield Row(UNSIGNED_ORDER, "", ("ledger statement",), signed_twice.judge_unsigned_order)
    both = ("entry", "ledger statement", "ledger leaf", "auditor statement", "auditor leaf")
    pinned = ("* record", "* pin", "* ledger pin", "* auditor pin")
    yield Row(EXECUTION, "", both + pinned, execution.judge_execution)
    yield Row(COMMITMENT, "", ("order", "auditor statement"), signed_twice.judge_commitment)
    yield Row(REJECTED_THEN_ORDERED, "", ("rejection", "entry"), signed_twice.judge_rejected_then_ordered)
    yield Row(REPLICA, "", ("piece", "block"), replica.judge_replica)
    yield Row(FALSE_BLOCK, "", ("piece", "* other"), replica.judge_false_block)
    yield Row(TOO_MANY_LIARS, "roots", ("* piece",), replicas.judge_roots)
    yield Row(TOO_MANY_LIARS, "no block", ("* piece",), replicas.judge_no_block)
    yield Row(TOO_MANY_LIARS, "chain", ("* piece", "* previous"), replicas.judge_chain)
    yield Row(TWO_OF_A_PLACE, "rejections", ("2 * rejections",), signed_twice.judge_two_rejections)
    signers: tuple[Role, ...] = ("auditor", "ledger")
    for signer in signers:
        past = _by(signer, signed_twice.judge_rewritten_past)
        yield Row(REWRITTEN_PAST, signer, ("earlier", "later", "leaf"), past)
        yield Row(ABOVE_CUT, signer, ("statement",), _by(signer, signed_twice.judge_above_cut))


def _by(signer: Role, judge: Callable[[Case, Role], Proven]) -> Judge:
    """The judge of what one party signed."""
    return lambda case: judge(case, signer)


def table(judge_refusal: Judge) -> tuple[Row, ...]:
    """All rows; how a refusal's attachment is judged is the caller's, because it uses this table."""
    return (
        *_orders(),
        *_leaves("auditor"),
        *_leaves("ledger"),
        *_rest(),
        Row(FALSE_ACCUSATION, "", ("refusal",), judge_refusal),
    )


def find_row(rows: Sequence[Row], kind: str, claim: str, names: Sequence[str]) -> Row:
    """The row of a file of this kind and claim, with parts of these names beside the claim.

    Raises:
        NothingProvenError: there is none.
    """
    of_kind = [row for row in rows if row.kind == kind]
    if not of_kind:
        raise NothingProvenError(f"there is no kind {kind[:64]!r}")
    for row in of_kind:
        if row.claim == claim and _fits(row.parts, Counter(names)):
            return row
    raise NothingProvenError(f"the parts are not those of kind {kind!r}, claim {claim[:64]!r}")


def _fits(parts: Sequence[str], found: Counter[str]) -> bool:
    needed = Counter[str]()
    for part in parts:
        number, _, name = part.rpartition("* ")
        if number:
            needed[name] = int(number)
        elif part.startswith("* "):
            found.pop(name, None)
        else:
            needed[part] = 1
    return needed == found
