"""What a client takes for a receipt or a rejection: only what was signed for this ledger, whatever one bit of it is."""

from dataclasses import replace

import pytest

from protocol.errors import CountersignError
from protocol.hashing import ZERO_HASH
from schemas.errors import MalformedMessageError
from schemas.receipt import Receipts
from schemas.rejection import RejectionEntry, Rejections
from streams.client_receipts import check_outcome, check_receipts, check_rejections
from tests.worlds import World

REFUSED = (CountersignError, MalformedMessageError)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def receipts(world: World) -> Receipts:
    made = world.decide(world.put("a", 1), world.put("b", 2))
    return Receipts(signed=made.signed, outcomes=made.outcomes, outputs=made.outputs)


@pytest.fixture(scope="module")
def rejections(world: World) -> Rejections:
    entries = [RejectionEntry(envelope_hash=bytes(32), request_id=bytes([number]) * 32, code="busy", final=False)
               for number in (1, 2)]  # fmt: skip
    return world.reject(*entries, as_of=0)


def flipped(data: bytes) -> list[bytes]:
    """The same bytes with one bit changed, for every byte."""
    return [bytes([*data[:at], data[at] ^ 1, *data[at + 1 :]]) for at in range(len(data))]


def test_receipts_with_a_changed_bit(world: World, receipts: Receipts) -> None:
    """None holds; where it is in an output, which no signature is over, then not that request's."""
    data = receipts.to_message()
    assert check_receipts(data, world.epochs).receipts == receipts
    for altered in flipped(data):
        try:
            checked = check_receipts(altered, world.epochs)
        except REFUSED:
            continue
        assert replace(checked.receipts, outputs=receipts.outputs) == receipts
        for index, request_id in enumerate(checked.request_ids()):
            body = world.put("ab"[index], index + 1).body
            if checked.receipts.outputs[index] != receipts.outputs[index]:
                with pytest.raises(MalformedMessageError):
                    check_outcome(checked, index, request_id, body)


@pytest.mark.parametrize("change", ["outcomes", "outputs", "both", "order"])
def test_receipts_of_another_shape(world: World, receipts: Receipts, change: str) -> None:
    """As many outcomes and outputs as the statement says, in its order."""
    altered = {
        "outcomes": replace(receipts, outcomes=receipts.outcomes[:1]),
        "outputs": replace(receipts, outputs=receipts.outputs[:1]),
        "both": replace(receipts, outcomes=receipts.outcomes * 2, outputs=receipts.outputs * 2),
        "order": replace(receipts, outcomes=receipts.outcomes[::-1], outputs=receipts.outputs[::-1]),
    }[change]
    with pytest.raises(CountersignError) as refused:
        check_receipts(altered.to_message(), world.epochs)
    assert refused.value.code == "receipt.path"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"entity": "mallory"}, "receipt.request"),
        ({"key_version": 2}, "receipt.request"),
        ({"contract": "object.delete"}, "receipt.request"),
        ({"contract_version": 2}, "receipt.request"),
        ({"after": 0}, "receipt.time"),
        ({"after": 1}, "receipt.time"),
    ],
)
def test_a_receipt_of_something_else(
    world: World, receipts: Receipts, change: dict[str, object], code: str
) -> None:
    """Of another call, or not after what its sender had seen: both parties would have signed that."""
    checked = check_receipts(receipts.to_message(), world.epochs)
    body = world.put("a", 1).body
    request_id = next(checked.request_ids())
    assert checked.statement.sequence == 0
    assert check_outcome(checked, 0, request_id, body).ok
    with pytest.raises(CountersignError) as refused:
        check_outcome(checked, 0, request_id, replace(body, **change))  # type: ignore[arg-type]
    assert refused.value.code == code
    with pytest.raises(CountersignError, match=r"receipt\.request"):
        check_outcome(checked, 1, request_id, body)


def test_rejections_with_a_changed_bit(world: World, rejections: Rejections) -> None:
    """None is the Auditor's."""
    data = rejections.to_message()
    assert len(check_rejections(data, world.epochs)) == 2
    for altered in flipped(data):
        with pytest.raises(REFUSED):
            check_rejections(altered, world.epochs)


def test_rejections_of_other_entries_or_another_ledger(world: World, rejections: Rejections) -> None:
    """The Auditor of another ledger may have the same key: its rejections are not of this one."""
    entry = RejectionEntry(envelope_hash=bytes(32), request_id=ZERO_HASH, code="request.expired", final=True)
    for altered in (
        replace(rejections, entries=(entry.to_bytes(),)),
        replace(rejections, entries=rejections.entries[::-1]),
        World(nonce=b"another").reject(entry, as_of=0),
    ):
        with pytest.raises(MalformedMessageError):
            check_rejections(altered.to_message(), world.epochs)
