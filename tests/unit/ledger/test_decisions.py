"""Reading decisions: only the countersigned statement counts, and it must be the Auditor's."""

from dataclasses import replace

import pytest

from ledger.decisions import hold_decision
from schemas.statement import Statement
from storage.effects import Message
from tests.gallery.hanging import order_of, result_of
from tests.parties import key_of
from tests.unit.learners.cluster import verifies
from tests.worlds import World


@pytest.fixture
def world() -> World:
    world = World()
    world.decide(world.put("a", 1))
    return world


def message_of(value: bytes | None) -> Message:
    return Message("decisions", 0, 3, 1, None, value, 0)


def test_a_decision_is_held_with_its_statement_and_its_message(world: World) -> None:
    """Its position is where reading goes on."""
    decision = world.decisions[0]
    message = message_of(decision.to_message())
    held = hold_decision(message, world.epochs)
    assert held is not None
    assert held.message == message
    assert held.signed == decision.signed
    assert held.statement == Statement.from_bytes(decision.signed.statement)
    assert verifies(held.signature_check(world.epochs))


@pytest.mark.parametrize("signer", ["ledger", "eve"])
def test_the_check_is_of_the_auditors_endorsement(world: World, signer: str) -> None:
    """Nobody else's key will do, and whatever else is in order."""
    decision = world.decisions[0]
    statement, salt = decision.signed.statement, decision.signed.salt
    signed = world.endorse(statement, order_of(world, 0), result_of(decision), salt, key_of(signer))
    held = hold_decision(message_of(replace(decision, signed=signed).to_message()), world.epochs)
    assert held is not None
    assert not verifies(held.signature_check(world.epochs))


@pytest.mark.parametrize("part", ["statement", "salt"])
def test_the_endorsement_covers_statement_and_salt(world: World, part: str) -> None:
    signed = world.decisions[0].signed
    other = {
        "statement": replace(Statement.from_bytes(signed.statement), count=2).to_bytes(),
        "salt": bytes(32),
    }[part]
    altered = replace(world.decisions[0], signed=signed._replace(**{part: other}))
    held = hold_decision(message_of(altered.to_message()), world.epochs)
    assert held is not None
    assert not verifies(held.signature_check(world.epochs))


def test_a_decision_of_an_earlier_epoch_is_checked_by_its_keys(world: World) -> None:
    """They may have changed since."""
    world.begin_epoch(auditor="new auditor")
    world.decide(world.put("a", 2))
    for sequence, signer in ((0, "auditor"), (1, "new auditor")):
        held = hold_decision(message_of(world.decisions[sequence].to_message()), world.epochs)
        assert held is not None
        check = held.signature_check(world.epochs)
        assert check.key == key_of(signer).public_key
        assert verifies(check)


@pytest.mark.parametrize("epoch", [-1, 1, 2**40])
def test_an_epoch_that_nobody_signed_has_no_decision(world: World, epoch: int) -> None:
    """There is no key to check it by."""
    decision = world.decisions[0]
    statement = replace(Statement.from_bytes(decision.signed.statement), epoch=epoch).to_bytes()
    altered = replace(decision, signed=decision.signed._replace(statement=statement))
    assert hold_decision(message_of(altered.to_message()), world.epochs) is None


def test_a_decision_of_another_ledger_is_none(world: World) -> None:
    """Though the same Auditor signed it."""
    other = World(b"other")
    message = message_of(other.decide(other.put("a", 1)).to_message())
    assert hold_decision(message, other.epochs) is not None
    assert hold_decision(message, world.epochs) is None


@pytest.mark.parametrize("value", [None, b"", b"rubbish"])
def test_rubbish_is_no_decision(world: World, value: bytes | None) -> None:
    assert hold_decision(message_of(value), world.epochs) is None


def test_an_order_or_a_broken_statement_is_no_decision(world: World) -> None:
    """Another frame, and a statement that does not parse."""
    assert hold_decision(message_of(order_of(world, 0).to_message()), world.epochs) is None
    signed = world.decisions[0].signed
    broken = replace(world.decisions[0], signed=signed._replace(statement=signed.statement + b"\0"))
    assert hold_decision(message_of(broken.to_message()), world.epochs) is None
