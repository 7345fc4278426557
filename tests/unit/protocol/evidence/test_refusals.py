"""A refusal proves its code by its attachment, or convicts the Ledger; whatever falls short names nobody."""

from dataclasses import replace

import pytest

from protocol.evidence import build
from protocol.evidence.verdicts import AUDITOR, LEDGER, Finding
from protocol.evidence.verify import verify_evidence
from protocol.hashing import tagged
from protocol.signatures import refusal_input
from schemas.evidence import Evidence
from schemas.exhibit import SignedHeader, SignedLeaf
from schemas.order import Order, OrderHeader
from schemas.rejection import Refusal, Refused
from tests.gallery import GALLERY
from tests.gallery.hanging import A, alter_read, judge, order_of, started
from tests.parties import key_of
from tests.worlds import World

ORDERS = [name for name in GALLERY if GALLERY[name].__module__.endswith(("orders", "entries"))]


def sign(world: World, refusal: Refusal, attachments: tuple[bytes, ...], epoch: int = 0) -> Refused:
    """A refusal with the Ledger's signature."""
    signed = refusal_input(world.ledger_id, epoch, refusal.to_bytes())
    return Refused(
        epoch=epoch,
        refusal=refusal.to_bytes(),
        signature=key_of("ledger").sign(signed),
        attachments=attachments,
    )


def stale_order(world: World) -> tuple[Order, Evidence]:
    """An order with a stale read, and the proof."""
    order, _ = world.order(world.get("a"), store=False)
    stale = world.reorder(order, alter_read(order, 0, A, version=1, writer_sequence=0, writer_index=0))
    parts = [("entry", build.entry_part(stale, 0)), ("earlier", build.entry_part(order_of(world, 1), 0))]
    return stale, build.order_contradiction(world.epochs, "order.stale_read", parts)


def test_a_true_refusal_is_no_false_accusation() -> None:
    """The attachment convicts the Auditor by itself, and the refusal convicts nobody."""
    world = started()
    order, proof = stale_order(world)
    refused = sign(world, *build.refusal(order, "order.stale_read", 0, proof))
    verdict = judge(build.false_accusation(world.epochs, refused), world.epochs)
    assert verdict.finding is Finding.NOTHING
    assert judge(Evidence.from_bytes(refused.attachments[0]), world.epochs).culprit == AUDITOR


@pytest.mark.parametrize("name", ORDERS)
def test_every_true_refusal_is_none(name: str) -> None:
    """Whatever order contradiction the Ledger attaches, with its own code."""
    shown, world = GALLERY[name](), started()
    code = next(part.data for part in shown.evidence.parts if part.name == "claim").decode()
    part = next(part for part in shown.evidence.parts if part.name in ("entry", "order"))
    opened = (SignedLeaf if part.name == "entry" else SignedHeader).from_bytes(part.data)
    order = Order(header=opened.header, entries=(), signature=opened.signature)
    refused = sign(world, *build.refusal(order, code, 0, shown.evidence))
    assert judge(build.false_accusation(world.epochs, refused), world.epochs).finding is Finding.NOTHING


def test_a_refusal_falls_short() -> None:
    """Without an attachment, with another than was signed, or not signed at all: nothing."""
    world = started()
    order, _ = world.order(world.get("a"))
    honest = build.order_contradiction(world.epochs, "order.not_after", [("entry", build.entry_part(order, 0))])
    refusal, attachments = build.refusal(order, "order.not_after", 0, honest)
    refused = sign(world, refusal, attachments)
    assert judge(build.false_accusation(world.epochs, refused), world.epochs).finding is Finding.FALSE_ACCUSER
    none = sign(world, replace(refusal, attachments_hash=tagged("attachments")), ())
    for short in (
        none,
        replace(refused, attachments=()),
        replace(refused, attachments=attachments * 2),
        replace(refused, attachments=(b"rubbish",)),
        replace(refused, signature=bytes(64)),
        replace(refused, epoch=1),
        replace(refused, epoch=-1),
    ):
        assert judge(build.false_accusation(world.epochs, short), world.epochs).finding is Finding.NOTHING


def test_a_refusal_with_another_code_is_false() -> None:
    """The proof of one code is none of another."""
    world = started()
    order, proof = stale_order(world)
    refused = sign(world, *build.refusal(order, "order.repeated", 0, proof))
    verdict = judge(build.false_accusation(world.epochs, refused), world.epochs)
    assert (verdict.finding, verdict.culprit) == (Finding.FALSE_ACCUSER, LEDGER)


def test_rubbish_attached_is_false() -> None:
    """The Ledger signed that rubbish proves its code."""
    world = started()
    order, _ = world.order(world.get("a"))
    for rubbish in (b"rubbish", GALLERY["two_orders"]().evidence.to_bytes()):
        refusal = Refusal(
            header=order.header,
            order_signature=order.signature,
            code="order.stale_read",
            entry_index=0,
            attachments_hash=tagged("attachments", rubbish),
        )
        refused = sign(world, refusal, (rubbish,))
        verdict = judge(build.false_accusation(world.epochs, refused), world.epochs)
        assert verdict.finding is Finding.FALSE_ACCUSER


def test_an_order_that_became_void_was_refused_rightly() -> None:
    """A refusal is judged by what the Ledger knew: the order's epoch ended below it only later."""
    world = started()
    order, proof = stale_order(world)
    refused = sign(world, *build.refusal(order, "order.stale_read", 0, proof))
    world.begin_epoch()
    evidence = build.false_accusation(world.epochs, refused)
    assert judge(evidence, world.epochs).finding is Finding.NOTHING


def test_an_attachment_that_cannot_be_judged_is_not_false() -> None:
    """Where the attachment takes an engine that this verifier does not have."""
    shown, world = GALLERY["entry_that_reads_something_else"](), started()
    leaf = SignedLeaf.from_bytes(shown.evidence.parts[1].data)
    order = Order(header=leaf.header, entries=(), signature=leaf.signature)
    refused = sign(world, *build.refusal(order, "order.versions", 0, shown.evidence))
    evidence = build.false_accusation(world.epochs, refused)
    assert verify_evidence(evidence.to_bytes(), world.ledger_id, None).finding is Finding.NOTHING


def test_a_proof_by_a_key_that_was_given_up_is_not_false() -> None:
    """The attachment names the key and not the Auditor; the Ledger has accused nobody falsely."""
    world = started()
    world.decide(world.get("a"))
    altered = alter_read(order_of(world, 2), 0, A, version=1, writer_sequence=0, writer_index=0)
    stale = world.reorder(order_of(world, 2), altered)
    world.begin_epoch(auditor="new auditor")
    parts = [("entry", build.entry_part(stale, 0)), ("earlier", build.entry_part(order_of(world, 1), 0))]
    proof = build.order_contradiction(world.epochs, "order.stale_read", parts)
    assert judge(proof, world.epochs).finding is Finding.KEY
    refused = sign(world, *build.refusal(stale, "order.stale_read", 0, proof))
    assert judge(build.false_accusation(world.epochs, refused), world.epochs).finding is Finding.NOTHING


def test_a_refusal_of_another_ledgers_order_is_none_of_this() -> None:
    """Whatever its attachment proves: its header says itself that it is not of this ledger."""
    world = started()
    order, proof = stale_order(world)
    header = replace(OrderHeader.from_bytes(order.header), ledger_id=bytes(32)).to_bytes()
    moved = replace(order, header=header)
    leaf = replace(SignedLeaf.from_bytes(proof.parts[1].data), header=header)
    shown = build.order_contradiction(world.epochs, "order.stale_read", [("entry", leaf.to_bytes())])
    refused = sign(world, *build.refusal(moved, "order.stale_read", 0, shown))
    assert judge(build.false_accusation(world.epochs, refused), world.epochs).finding is Finding.NOTHING
