"""A receipt is checked without any server, step by step, and every step has its own code.

A second verifier, written from docs/wire-formats.md alone, says the same of each receipt of these tests, so the page is
enough for one in another language.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import merkle
from protocol.errors import ERRORS, CountersignError
from protocol.limits import Limits
from protocol.receipts import ReceiptError, VerifiedReceipt, build_receipt, verify_receipt
from protocol.signatures import commitment, order_hash
from schemas.order import OrderHeader
from schemas.outcome import Outcome
from schemas.receipt import Receipt, Receipts
from schemas.request import RequestBody
from schemas.statement import Statement
from tests.gallery.hanging import alter_outcome
from tests.parties import key_of
from tests.reference import receipts as reference
from tests.worlds import MINUTE_MS, World

LIMITS = Limits()


def verify(data: bytes, trusted_ledger_id: bytes, body: bytes | None, known: Sequence[bytes] = ()) -> VerifiedReceipt:
    """Verify; whoever only read the page says the same."""
    said: VerifiedReceipt | CountersignError
    try:
        said = verify_receipt(data, trusted_ledger_id, body, LIMITS, known)
    except CountersignError as error:
        said = error
    code = said.code if isinstance(said, CountersignError) else ""
    assert reference.code_of(data, trusted_ledger_id, body, known) == code
    if isinstance(said, CountersignError):
        raise said
    return said


class Client:
    """A client with a receipt of the second of three requests, decided at sequence 1."""

    def __init__(self, asked: object = None, **changes: Any) -> None:
        self.world = world = World()
        world.decide(world.put("a", 1))
        self.request = world.request("object.get", asked or {"key": "a"}, **changes)
        self.decision = world.decide(world.put("b", 1), self.request, world.put("c", 1))
        self.receipts = Receipts(
            signed=self.decision.signed, outcomes=self.decision.outcomes, outputs=self.decision.outputs
        )
        self.body = self.request.envelope.body
        self.receipt = build_receipt(
            self.receipts, self.request.request_id, world.epochs.genesis_bytes, world.epochs.signed
        )

    def verify(self, receipt: Receipt | bytes, body: bytes | None = b"", **named: Any) -> Any:
        """Verify as this client would; an empty body stands for its own."""
        data = receipt if isinstance(receipt, bytes) else receipt.to_bytes()
        return verify(data, self.world.ledger_id, self.body if body == b"" else body, **named)

    def code_of(self, receipt: Receipt | bytes, body: bytes | None = b"", **named: Any) -> str:
        """The code with which a receipt is turned down."""
        with pytest.raises(CountersignError) as caught:
            self.verify(receipt, body, **named)
        assert caught.value.code in ERRORS
        return caught.value.code

    def resigned(self, **changes: Any) -> Receipt:
        """A receipt over another statement that both parties signed all the same."""
        decision, world = self.decision, self.world
        outcomes = changes.pop("outcomes", decision.outcomes)
        root = merkle.root(outcomes)
        header = replace(
            OrderHeader.from_bytes(decision.signed.header), commitment=commitment(decision.signed.salt, root)
        )
        header = replace(header, **changes)
        order = world.sign_order(header, decision.entries)
        copied = {name: value for name, value in changes.items() if name != "commitment"}
        statement = replace(
            Statement.from_bytes(decision.signed.statement),
            order_hash=order_hash(order.header),
            outcomes_root=root,
            **copied,
        )
        result = world.sign_result(statement, order.signature, outcomes)
        signed = world.endorse(result.statement, order, result, decision.signed.salt)
        return replace(self.receipt, signed=signed, outcome=outcomes[1], path=merkle.path(outcomes, 1))


def test_an_honest_receipt() -> None:
    """It proves the outcome, its output and its place."""
    client = Client()
    verified = client.verify(client.receipt)
    assert verified.output == b"1"
    assert not verified.failed
    assert verified.outcome.request_id == client.request.request_id
    assert (verified.statement.sequence, verified.outcome.index) == (1, 1)
    assert client.verify(client.receipt, None) == verified


def test_a_failed_request_has_a_receipt() -> None:
    """A failure is an outcome like any other, and shown as one."""
    client = Client(["no key"])
    verified = client.verify(client.receipt)
    assert verified.failed
    assert (verified.outcome.code, verified.output) == ("contract.value", b"")


def test_whether_it_failed_is_its_status() -> None:
    """And not whether there is a code beside it."""
    client = Client()
    for status, failed in (("failed", True), ("ok", False)):
        for code in ("", "contract.failed"):
            outcomes = alter_outcome(client.decision.outcomes, 1, status=status, code=code)
            assert client.verify(client.resigned(outcomes=outcomes)).failed is failed


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9])
def test_every_request_of_a_batch_has_its_receipt(count: int) -> None:
    """Around powers of two the paths differ in length."""
    world = World()
    requests = [world.put(f"k{number}", number) for number in range(count)]
    decision = world.decide(*requests)
    receipts = Receipts(signed=decision.signed, outcomes=decision.outcomes, outputs=decision.outputs)
    for index, request in enumerate(requests):
        receipt = build_receipt(receipts, request.request_id, world.epochs.genesis_bytes, world.epochs.signed)
        verified = verify(receipt.to_bytes(), world.ledger_id, request.envelope.body)
        assert verified.outcome.index == index
        for place in (index - 1, index + 1, count):
            with pytest.raises(ReceiptError, match=r"receipt\.path"):
                verify(replace(receipt, index=place).to_bytes(), world.ledger_id, None)
        for path in ((*receipt.path, bytes(32)), receipt.path[:-1] or (bytes(32),)):
            with pytest.raises(ReceiptError, match=r"receipt\.path"):
                verify(replace(receipt, path=path).to_bytes(), world.ledger_id, None)


def test_a_request_that_is_not_there_has_no_receipt() -> None:
    """Nor has one whose outputs are not as many as its outcomes."""
    client = Client()
    args = (client.world.epochs.genesis_bytes, client.world.epochs.signed)
    with pytest.raises(ReceiptError, match=r"receipt\.request"):
        build_receipt(client.receipts, bytes(32), *args)
    short = replace(client.receipts, outputs=())
    with pytest.raises(ReceiptError, match=r"receipt\.malformed"):
        build_receipt(short, client.request.request_id, *args)


# --- Steps ---

ALTERED: dict[str, tuple[str, Callable[[Receipt], Receipt]]] = {
    "1 format": ("receipt.malformed", lambda r: replace(r, format=2)),
    "2 genesis": ("genesis.malformed", lambda r: replace(r, genesis=b"rubbish")),
    "2 another genesis": ("genesis.untrusted", lambda r: replace(r, genesis=World(b"2").epochs.genesis_bytes)),
    "2 no configuration": ("epoch.chain", lambda r: replace(r, configurations=())),
    "2 rubbish configuration": ("epoch.malformed", lambda r: replace(r, configurations=(b"rubbish",))),
    "2 configuration twice": (
        "epoch.chain",
        lambda r: replace(r, configurations=r.configurations * 2),
    ),
    "3 statement": ("statement.malformed", lambda r: sign(r, statement=b"rubbish")),
    "4 header": ("statement.malformed", lambda r: sign(r, header=b"rubbish")),
    "4 order signature": ("statement.order_signature", lambda r: sign(r, order_signature=bytes(64))),
    "5 Ledger's signature": ("statement.ledger_signature", lambda r: sign(r, ledger_signature=bytes(64))),
    "5 Auditor's signature": ("statement.auditor_signature", lambda r: sign(r, auditor_signature=bytes(64))),
    "5 each other's": (
        "statement.ledger_signature",
        lambda r: sign(r, ledger_signature=r.signed.auditor_signature, auditor_signature=r.signed.ledger_signature),
    ),
    "5 salt": ("statement.commitment", lambda r: sign(r, salt=bytes(32))),
    "6 outcome": ("receipt.path", lambda r: replace(r, outcome=r.outcome[:-1] + b"\1")),
    "7 output": ("receipt.output", lambda r: replace(r, output=b"2")),
}


def sign(receipt: Receipt, **changes: Any) -> Receipt:
    """A receipt with parts of its countersigned statement replaced."""
    return replace(receipt, signed=receipt.signed._replace(**changes))


@pytest.mark.parametrize(("code", "alter"), ALTERED.values(), ids=ALTERED)
def test_each_step_has_its_code(code: str, alter: Callable[[Receipt], Receipt]) -> None:
    """What an altered receipt is turned down for, with or without the request's body."""
    client = Client()
    assert client.code_of(alter(client.receipt)) == code
    assert client.code_of(alter(client.receipt), None) == code


def test_step_1_bounds_and_form() -> None:
    """Too long, cut short, or with a byte more."""
    client = Client()
    data = client.receipt.to_bytes()
    for wrong in (b"", data[:-1], data + b"\0", bytes(LIMITS.message_bytes + 1)):
        assert client.code_of(wrong) == "receipt.malformed"


def test_step_1_the_readers_bound() -> None:
    """What a message may have is read, and a byte more is not, however well it is signed."""
    client = Client()
    data = client.receipt.to_bytes()
    args = (client.world.ledger_id, client.body)
    small = replace(LIMITS, **dict.fromkeys(("argument_bytes", "request_bytes", "batch_bytes"), 1000))
    small = replace(small, value_bytes=1000, request_output_bytes=1000, batch_output_bytes=1000)
    assert verify_receipt(data, *args, replace(small, message_bytes=len(data))).output == b"1"
    with pytest.raises(ReceiptError, match=r"receipt\.malformed"):
        verify_receipt(data, *args, replace(small, message_bytes=len(data) - 1))


def test_step_2_another_ledger() -> None:
    """The same names and keys, another nonce."""
    client, other = Client(), World(b"other")
    with pytest.raises(CountersignError, match=r"genesis\.untrusted"):
        verify(client.receipt.to_bytes(), other.ledger_id, None)


def test_step_3_places() -> None:
    """Another ledger's statement, an unknown epoch, and a sequence above the cut that the reader knows of."""
    client = Client()
    foreign = World(b"other")
    foreign.decide(foreign.get("a"))
    assert client.code_of(replace(client.receipt, signed=foreign.decisions[0].signed)) == "statement.ledger"
    assert client.code_of(client.resigned(epoch=1)) == "epoch.unknown"
    below = client.resigned(sequence=-1)
    assert client.code_of(below) == "epoch.cut"
    above = client.resigned(sequence=2)
    client.world.begin_epoch()
    assert client.code_of(above, None, known=client.world.epochs.signed) == "epoch.cut"
    assert client.code_of(replace(above, configurations=client.world.epochs.signed), None) == "epoch.cut"
    assert client.verify(client.receipt, known=client.world.epochs.signed)
    other = World()
    other.begin_epoch(ledger="another")
    shown = replace(client.receipt, configurations=client.world.epochs.signed)
    assert client.code_of(shown, known=other.epochs.signed) == "epoch.chain"


def test_step_3_a_retired_key() -> None:
    """Old keys of both parties sign something old-dated after the epoch's end: refused."""
    client = Client()
    forged = client.resigned(sequence=5)
    client.world.begin_epoch(auditor="auditor again", ledger="ledger again")
    assert client.code_of(forged, known=client.world.epochs.signed) == "epoch.cut"


def test_step_3_another_format() -> None:
    """Signed by both in good order: no verifier of evidence would judge it, so no receipt rests on it."""
    client = Client()
    statement = Statement.from_bytes(client.decision.signed.statement)
    later = sign(client.receipt, statement=replace(statement, format=2).to_bytes())
    assert client.code_of(later) == "statement.malformed"
    assert client.code_of(client.resigned(format=2)) == "statement.malformed"
    header = OrderHeader.from_bytes(client.decision.signed.header)
    assert client.code_of(sign(client.receipt, header=replace(header, format=2).to_bytes())) == "statement.malformed"


@pytest.mark.parametrize("field", ["ordered_at_ms", "count", "kind"])
def test_step_4_copied_fields(field: str) -> None:
    """A statement that does not repeat its order, although everything is signed."""
    client = Client()
    statement = Statement.from_bytes(client.decision.signed.statement)
    other = {"ordered_at_ms": 1, "count": 4, "kind": "empty"}[field]
    altered = replace(statement, **{field: other}).to_bytes()  # type: ignore[arg-type]
    assert client.code_of(sign(client.receipt, statement=altered)) == "statement.order"
    header = client.world.decisions[0].signed.header
    assert client.code_of(sign(client.receipt, header=header)) == "statement.order"


@pytest.mark.parametrize("index", [0, 2])
def test_step_6_another_index_in_the_leaf(index: int) -> None:
    """A leaf at place 1 that says it is at another, before it or behind it, signed by both."""
    client = Client()
    outcomes = alter_outcome(client.decision.outcomes, 1, index=index)
    assert client.code_of(client.resigned(outcomes=outcomes)) == "receipt.path"


def test_step_7_another_request() -> None:
    """The receipt of the neighbour, another body, or a contract that was not asked for."""
    client = Client()
    neighbour = replace(
        client.receipt,
        outcome=client.decision.outcomes[0],
        output=client.decision.outputs[0],
        index=0,
        path=merkle.path(client.decision.outcomes, 0),
    )
    assert client.code_of(neighbour) == "receipt.request"
    assert client.verify(neighbour, None)
    for changes in ({"entity": "bob"}, {"key_version": 2}, {"contract": "x"}, {"contract_version": 2}):
        outcomes = alter_outcome(client.decision.outcomes, 1, **changes)
        assert client.code_of(client.resigned(outcomes=outcomes)) == "receipt.request"


def test_step_7_the_same_call_once_more() -> None:
    """A receipt of the same call by the same entity, which is another request all the same."""
    client = Client()
    again = client.world.request("object.get", {"key": "a"})
    assert RequestBody.from_bytes(again.envelope.body).argument == RequestBody.from_bytes(client.body).argument
    assert client.code_of(client.receipt, again.envelope.body) == "receipt.request"
    outcomes = alter_outcome(client.decision.outcomes, 1, request_id=again.request_id)
    assert client.code_of(client.resigned(outcomes=outcomes)) == "receipt.request"


@pytest.mark.parametrize(("ahead_ms", "code"), [(10 * MINUTE_MS, ""), (10 * MINUTE_MS + 1, "receipt.time")])
def test_step_8_limits_are_those_of_the_statements_epoch(ahead_ms: int, code: str) -> None:
    """Neither the reader's own nor those of an epoch that came later."""
    world = World(limits=limits_with_minutes(10))
    request = world.request("object.get", {"key": "a"}, expiry_ms=world.now_ms + 1 + ahead_ms)
    decision = world.decide(request)
    receipts = Receipts(signed=decision.signed, outcomes=decision.outcomes, outputs=decision.outputs)
    receipt = build_receipt(receipts, request.request_id, world.epochs.genesis_bytes, world.epochs.signed)
    other = LIMITS if code else limits_with_minutes(1)
    for configurations in (1, 2):
        assert len(world.epochs.signed) == configurations
        args = (receipt.to_bytes(), world.ledger_id, request.envelope.body, other, world.epochs.signed)
        if code:
            with pytest.raises(ReceiptError, match=code):
                verify_receipt(*args)
        else:
            assert verify_receipt(*args).statement.sequence == 0
        world.begin_epoch(limits=other.to_bytes())


def limits_with_minutes(minutes: int) -> Limits:
    """Limits under which a request may be valid for so long at most."""
    return Limits(expiry_default_ms=MINUTE_MS, expiry_ahead_ms=minutes * MINUTE_MS)


def test_step_8_time() -> None:
    """Before what the client had seen; before or after the request was valid."""
    assert (client := Client(after=1)).code_of(client.receipt) == "receipt.time"
    assert (client := Client(after=0)).verify(client.receipt)
    client = Client()
    body = RequestBody.from_bytes(client.body)
    for ordered_at_ms in (body.not_before_ms - 1, body.expiry_ms + 1):
        assert client.code_of(client.resigned(ordered_at_ms=ordered_at_ms)) == "receipt.time"
    for ordered_at_ms in (body.not_before_ms, body.expiry_ms):
        assert client.verify(client.resigned(ordered_at_ms=ordered_at_ms))
    far = Client(expiry_ms=client.world.now_ms + LIMITS.expiry_ahead_ms + MINUTE_MS)
    assert far.code_of(far.receipt) == "receipt.time"


def test_an_unsigned_receipt_of_other_keys() -> None:
    """A whole ledger made by somebody with other keys."""
    client = Client()
    client.world.auditor.key = key_of("mallory")
    assert client.code_of(client.resigned()) == "statement.order_signature"


CLIENT = Client()


@given(place=st.integers(0, len(CLIENT.receipt.to_bytes()) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_seen(place: int, bit: int) -> None:
    """No bit of a receipt may be another."""
    data = bytearray(CLIENT.receipt.to_bytes())
    data[place] ^= 1 << bit
    CLIENT.code_of(bytes(data))


@given(data=st.data())
def test_damage_has_one_code(data: st.DataObject) -> None:
    """Whatever is cut out, put in or copied from elsewhere in the receipt: none of it passes, for the same reason."""
    honest = CLIENT.receipt.to_bytes()
    begin = data.draw(st.integers(0, len(honest) - 1))
    end = data.draw(st.sampled_from([begin, begin + 1, begin + 32, begin + 33, begin + 64]))
    source = data.draw(st.integers(0, len(honest) - 1))
    put_in = data.draw(st.sampled_from([honest[source : source + end - begin], b"", b"\0", b"\x80"]))
    damaged = honest[:begin] + put_in + honest[end:]
    if damaged != honest:
        CLIENT.code_of(damaged)


def test_the_outcome_is_parsed_once_it_is_proved() -> None:
    """Bytes under the root that are no outcome: both parties signed rubbish."""
    client = Client()
    outcomes = (client.decision.outcomes[0], b"rubbish", client.decision.outcomes[2])
    assert client.code_of(client.resigned(outcomes=outcomes)) == "receipt.malformed"
    assert Outcome.from_bytes(client.receipt.outcome).index == 1
