"""A statement with both endorsements: which part has to agree with which, and whose key each signature is by."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocol.configuration import ConfigurationError
from protocol.countersigned import CheckedStatement, CountersignedError, check_parts, header_copied
from protocol.errors import CountersignError
from protocol.signatures import (
    SignatureCheck,
    auditor_endorsement_input,
    commitment,
    ledger_endorsement_input,
    order_hash,
    order_input,
    statement_hash,
)
from protocol.signing import verify_key
from schemas.order import OrderHeader
from schemas.statement import Countersigned, Statement
from tests.parties import key_of, make_epochs
from tests.worlds import World

WORLD = World()
SIGNED = WORLD.decide(WORLD.put("a", 1), WORLD.put("b", 2)).signed
STATEMENT = Statement.from_bytes(SIGNED.statement)
HEADER = OrderHeader.from_bytes(SIGNED.header)
EPOCHS = WORLD.epochs


def altered(header: dict[str, Any] | None = None, statement: dict[str, Any] | None = None) -> Countersigned:
    """The same with other fields, the statement naming the header's hash all the same. No signature is made anew."""
    other = replace(HEADER, **header or {}).to_bytes()
    named: dict[str, Any] = {"order_hash": order_hash(other), **(statement or {})}
    return SIGNED._replace(header=other, statement=replace(STATEMENT, **named).to_bytes())


def code_of(check: Callable[[], object], kind: type[CountersignError] = CountersignedError) -> str:
    """The code with which a check turns something down."""
    with pytest.raises(kind) as caught:
        check()
    return caught.value.code


def place(checked: CheckedStatement) -> tuple[bytes, int]:
    """Ledger and epoch of a statement, with which all inputs begin."""
    return checked.statement.ledger_id, checked.statement.epoch


def test_what_agrees_is_checked_and_its_signatures_are_named() -> None:
    """Order, Ledger's endorsement, Auditor's endorsement: by whose key, over which bytes, and all three good."""
    checked = check_parts(SIGNED, EPOCHS)
    assert (checked.statement, checked.header) == (STATEMENT, HEADER)
    assert checked.statement_hash == statement_hash(SIGNED.statement)
    auditor, ledger = key_of("auditor").public_key, key_of("ledger").public_key
    by_ledger = ledger_endorsement_input(*place(checked), SIGNED.statement, SIGNED.order_signature)
    by_auditor = auditor_endorsement_input(*place(checked), SIGNED.statement, SIGNED.salt)
    assert checked.checks == (
        SignatureCheck(auditor, order_input(*place(checked), SIGNED.header), SIGNED.order_signature),
        SignatureCheck(ledger, by_ledger, SIGNED.ledger_signature),
        SignatureCheck(auditor, by_auditor, SIGNED.auditor_signature),
    )
    for check in checked.checks:
        verify_key(check.key.algorithm, check.key.key).verify(check.signed, check.signature)


COPIED: dict[str, dict[str, Any]] = {
    "ledger_id": {"ledger_id": bytes(32)},
    "epoch": {"epoch": 1},
    "sequence": {"sequence": 1},
    "count": {"count": 3},
    "ordered_at_ms": {"ordered_at_ms": HEADER.ordered_at_ms + 1},
    "kind": {"kind": "empty"},
}


@pytest.mark.parametrize("changes", COPIED.values(), ids=COPIED)
def test_each_field_is_copied_from_the_header(changes: dict[str, Any]) -> None:
    """A statement that names the right order and copies one field wrongly is none."""
    assert header_copied(STATEMENT, HEADER)
    assert not header_copied(STATEMENT, replace(HEADER, **changes))
    assert not header_copied(replace(STATEMENT, **changes), HEADER)
    assert code_of(lambda: check_parts(altered(header=changes), EPOCHS)) == "statement.order"


NAMED = {"order_hash": order_hash(SIGNED.header)}
TURNED_ROUND = commitment(STATEMENT.outcomes_root, SIGNED.salt)
DISAGREEING: dict[str, tuple[Countersigned, str]] = {
    "a statement with more": (SIGNED._replace(statement=SIGNED.statement + b"\0"), "statement.malformed"),
    "a header with less": (SIGNED._replace(header=SIGNED.header[:-1]), "statement.malformed"),
    "another ledger": (altered(statement={"ledger_id": bytes(32)}), "statement.ledger"),
    "another order's hash": (altered(statement={"order_hash": bytes(32)}), "statement.order"),
    "another header": (altered(header={"entries_root": bytes(32)}, statement=NAMED), "statement.order"),
    "another salt": (SIGNED._replace(salt=bytes(32)), "statement.commitment"),
    "another root": (altered(statement={"outcomes_root": bytes(32)}), "statement.commitment"),
    "another commitment": (altered(header={"commitment": bytes(32)}), "statement.commitment"),
    "salt and root changed over": (altered(header={"commitment": TURNED_ROUND}), "statement.commitment"),
}


@pytest.mark.parametrize(("signed", "code"), DISAGREEING.values(), ids=DISAGREEING)
def test_what_does_not_agree(signed: Countersigned, code: str) -> None:
    """Each disagreement has its code; no signature is looked at."""
    assert code_of(lambda: check_parts(signed, EPOCHS)) == code


def test_a_statement_of_another_ledger_is_not_of_this_one() -> None:
    """Though all its parts agree, and both parties have the same keys there."""
    other = World(b"another")
    signed = other.decide(other.put("a", 1)).signed
    assert check_parts(signed, other.epochs).statement.ledger_id == other.ledger_id
    assert code_of(lambda: check_parts(signed, make_epochs())) == "statement.ledger"


def test_a_place_that_its_epoch_does_not_have() -> None:
    """An epoch nobody knows, and a sequence beyond a cut: each from both sides."""
    world = World()
    first = world.decide(world.put("a", 1)).signed
    world.begin_epoch("new auditor", "new ledger")
    second = world.decide(world.put("a", 2)).signed

    def code_at(epoch: int, signed: Countersigned) -> str:
        header = replace(OrderHeader.from_bytes(signed.header), epoch=epoch).to_bytes()
        parsed = replace(Statement.from_bytes(signed.statement), epoch=epoch, order_hash=order_hash(header))
        moved = signed._replace(header=header, statement=parsed.to_bytes())
        return code_of(lambda: check_parts(moved, world.epochs), ConfigurationError)

    assert code_at(1, first) == code_at(0, second) == "epoch.cut"
    assert code_at(2, second) == code_at(-1, first) == "epoch.unknown"


def test_the_keys_are_those_of_its_epoch() -> None:
    """Whatever the parties sign with today."""
    world = World()
    first = world.decide(world.put("a", 1)).signed
    world.begin_epoch("new auditor", "new ledger")
    second = world.decide(world.put("a", 2)).signed
    for signed, names in ((first, ("auditor", "ledger")), (second, ("new auditor", "new ledger"))):
        auditor, ledger = (key_of(name).public_key for name in names)
        checks = check_parts(signed, world.epochs).checks
        assert [check.key for check in checks] == [auditor, ledger, auditor]
