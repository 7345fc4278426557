"""Evidence out of raw messages: the parts of each kind, put together and not yet judged.

Whoever builds evidence verifies it before he shows it to anybody: nothing here looks whether it proves
anything.
"""

from collections.abc import Iterable, Sequence

from protocol import merkle
from protocol.configuration import Epochs
from protocol.evidence import kinds
from protocol.evidence.refusals import ORDER_CONTRADICTION
from protocol.evidence.verdicts import Role
from protocol.hashing import tagged
from protocol.records import Record, RecordKey
from schemas.evidence import Evidence, Part
from schemas.exhibit import (
    AuditorStatement,
    Decided,
    DecidedLeaf,
    Leaf,
    LedgerStatement,
    ShownRecord,
    SignedHeader,
    SignedLeaf,
)
from schemas.order import Order
from schemas.rejection import Refusal, Refused, Rejections
from schemas.statement import Countersigned, Decision, Result

FORMAT = 1

Parts = Iterable[tuple[str, bytes]]
"""Names and contents of parts."""


def make_evidence(epochs: Epochs, kind: str, parts: Parts, claim: str = "") -> Evidence:
    """A file with everything that an offline verifier needs beside the parts."""
    claims = [Part(kinds.CLAIM, claim.encode())] if claim else []
    return Evidence(
        format=FORMAT,
        ledger_id=epochs.ledger_id,
        kind=kind,
        genesis=epochs.genesis_bytes,
        configurations=epochs.signed,
        parts=(*claims, *(Part(name, data) for name, data in parts)),
    )


# --- Parts ---


def order_part(order: Order) -> bytes:
    """An order's header with its signature."""
    return SignedHeader(header=order.header, signature=order.signature).to_bytes()


def entry_part(order: Order, index: int) -> bytes:
    """An entry of an order, under its signed header."""
    return SignedLeaf(
        header=order.header,
        signature=order.signature,
        index=index,
        leaf=order.entries[index],
        path=merkle.path(order.entries, index),
    ).to_bytes()


def ledger_part(result: Result) -> bytes:
    """The Ledger's statement."""
    return LedgerStatement(
        statement=result.statement,
        order_signature=result.order_signature,
        ledger_signature=result.ledger_signature,
    ).to_bytes()


def auditor_part(signed: Countersigned) -> bytes:
    """The Auditor's statement, out of one that both parties signed."""
    return AuditorStatement(
        statement=signed.statement, salt=signed.salt, auditor_signature=signed.auditor_signature
    ).to_bytes()


def leaf_part(leaves: Sequence[bytes], index: int) -> bytes:
    """A leaf with its path to the root over all of them."""
    return Leaf(index=index, leaf=leaves[index], path=merkle.path(leaves, index)).to_bytes()


def decided_part(decision: Decision) -> bytes:
    """A statement that both parties signed."""
    return Decided(signed=decision.signed).to_bytes()


def decided_leaf_part(decision: Decision, index: int) -> bytes:
    """An outcome under a statement that both parties signed."""
    return DecidedLeaf(
        signed=decision.signed,
        index=index,
        leaf=decision.outcomes[index],
        path=merkle.path(decision.outcomes, index),
    ).to_bytes()


def record_part(key: RecordKey, record: Record) -> bytes:
    """A record version with its content."""
    return ShownRecord(
        namespace=key.namespace,
        key=key.key,
        version=record.version,
        deleted=record.deleted,
        value=record.value,
        request_id=record.request_id,
        previous_hash=record.previous_hash,
    ).to_bytes()


def order_of(decision: Decision) -> Order:
    """The order in a decision."""
    return Order(header=decision.signed.header, entries=decision.entries, signature=decision.signed.order_signature)


# --- Files ---


def two_orders(epochs: Epochs, first: Order, second: Order) -> Evidence:
    """Two orders of the Auditor for one place."""
    return make_evidence(epochs, kinds.TWO_ORDERS, [("order", order_part(order)) for order in (first, second)])


def two_ledger_statements(epochs: Epochs, first: Result, second: Result) -> Evidence:
    """Two statements of the Ledger for one place."""
    parts = [("ledger statement", ledger_part(result)) for result in (first, second)]
    return make_evidence(epochs, kinds.TWO_STATEMENTS, parts, "ledger")


def two_auditor_statements(epochs: Epochs, first: Countersigned, second: Countersigned) -> Evidence:
    """Two statements of the Auditor for one place."""
    parts = [("auditor statement", auditor_part(signed)) for signed in (first, second)]
    return make_evidence(epochs, kinds.TWO_STATEMENTS, parts, "auditor")


def unsigned_order(epochs: Epochs, result: Result) -> Evidence:
    """A result of the Ledger about an order that the Auditor did not sign."""
    return make_evidence(epochs, kinds.UNSIGNED_ORDER, [("ledger statement", ledger_part(result))])


def commitment(epochs: Epochs, order: Order, signed: Countersigned) -> Evidence:
    """An endorsement of the Auditor that does not open its order's commitment."""
    parts = [("order", order_part(order)), ("auditor statement", auditor_part(signed))]
    return make_evidence(epochs, kinds.COMMITMENT, parts)


def order_contradiction(epochs: Epochs, code: str, parts: Parts) -> Evidence:
    """An order that contradicts what the Auditor signed before; parts as the table says for the code."""
    return make_evidence(epochs, ORDER_CONTRADICTION, parts, code)


def leaf_contradiction(epochs: Epochs, signer: Role, claim: str, parts: Parts) -> Evidence:
    """A statement or outcome that contradicts what its signer signed before; parts as the table says."""
    return make_evidence(epochs, kinds.LEAF_CONTRADICTION, parts, f"{signer} {claim}")


def rejected_then_ordered(
    epochs: Epochs, rejections: Rejections, rejection_index: int, order: Order, entry_index: int
) -> Evidence:
    """A final rejection, and a later order of the same request."""
    rejection = SignedLeaf(
        header=rejections.header,
        signature=rejections.signature,
        index=rejection_index,
        leaf=rejections.entries[rejection_index],
        path=merkle.path(rejections.entries, rejection_index),
    )
    parts = [("rejection", rejection.to_bytes()), ("entry", entry_part(order, entry_index))]
    return make_evidence(epochs, kinds.REJECTED_THEN_ORDERED, parts)


def two_rejections(epochs: Epochs, first: Rejections, second: Rejections) -> Evidence:
    """Two rejection batches of one number."""
    parts = [
        ("rejections", SignedHeader(header=batch.header, signature=batch.signature).to_bytes())
        for batch in (first, second)
    ]
    return make_evidence(epochs, kinds.TWO_OF_A_PLACE, parts, "rejections")


def replica(epochs: Epochs, piece: bytes, block: bytes) -> Evidence:
    """A piece, and the block that it should be of."""
    return make_evidence(epochs, kinds.REPLICA, [("piece", piece), ("block", block)])


def rewritten_past(epochs: Epochs, signer: Role, earlier: bytes, later: bytes, leaf: Leaf) -> Evidence:
    """A statement, and a later one of the same signer whose journal holds another leaf at that sequence.

    Args:
        epochs: of the ledger.
        signer: of both.
        earlier: made by `ledger_part` or `auditor_part`.
        later: likewise.
        leaf: the statement hash that the later journal holds, with its path to the journal root.
    """
    parts = [("earlier", earlier), ("later", later), ("leaf", leaf.to_bytes())]
    return make_evidence(epochs, kinds.REWRITTEN_PAST, parts, signer)


def above_cut(epochs: Epochs, signer: Role, statement: bytes) -> Evidence:
    """An endorsement above the cut of its epoch; `statement` made by `ledger_part` or `auditor_part`."""
    return make_evidence(epochs, kinds.ABOVE_CUT, [("statement", statement)], signer)


def refusal(order: Order, code: str, entry_index: int, evidence: Evidence) -> tuple[Refusal, tuple[bytes, ...]]:
    """What the Ledger signs to refuse an order, and the attachments that prove its code."""
    attachment = evidence.to_bytes()
    signed = Refusal(
        header=order.header,
        order_signature=order.signature,
        code=code,
        entry_index=entry_index,
        attachments_hash=tagged("attachments", attachment),
    )
    return signed, (attachment,)


def false_accusation(epochs: Epochs, refused: Refused) -> Evidence:
    """A refusal of the Ledger that does not prove its code."""
    return make_evidence(epochs, kinds.FALSE_ACCUSATION, [("refusal", refused.to_bytes())])
