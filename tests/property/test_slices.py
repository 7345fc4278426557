"""Slices of outcomes and entries say what the schemas' own codec says."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.errors import MalformedMessageError
from schemas.feed import Learned, LearnedRequest, LearnedWrite
from schemas.order import Entry, WriteVersion
from schemas.outcome import Outcome, ReadPin, RowPin, ScanPins, WritePin
from schemas.request import Envelope, RecordName, RequestBody
from schemas.slices import join_learned, join_learned_request, slice_argument, slice_outcome, slice_outcomes

HASHES = st.binary(min_size=32, max_size=32)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.just("x" * 200)
NUMBERS = st.integers(-1, 300) | st.integers(-(2**63), 2**63 - 1)
WRITES = st.builds(WritePin, TEXTS, TEXTS, NUMBERS, st.booleans(), HASHES)
ROWS = st.builds(RowPin, TEXTS, NUMBERS, NUMBERS, NUMBERS, HASHES)


def tuples(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=4).map(tuple)


OUTCOMES = st.builds(
    Outcome,
    index=NUMBERS,
    request_id=HASHES,
    entity=TEXTS,
    key_version=NUMBERS,
    contract=TEXTS,
    contract_version=NUMBERS,
    status=st.sampled_from(["ok", "failed"]),
    code=TEXTS,
    fail_text=TEXTS,
    output_hash=HASHES,
    reads=tuples(st.builds(ReadPin, TEXTS, TEXTS, NUMBERS, NUMBERS, NUMBERS, HASHES)),
    scans=tuples(st.builds(ScanPins, TEXTS, TEXTS, TEXTS, NUMBERS, TEXTS, st.booleans(), tuples(ROWS))),
    writes=tuples(WRITES),
)


@given(OUTCOMES)
def test_an_outcomes_slices_are_its_fields(outcome: Outcome) -> None:
    """Whatever stands around them: reads, scans, long texts and great numbers."""
    slices = slice_outcome(outcome.to_bytes())
    assert slices[:-2] == (
        outcome.request_id,
        outcome.entity.encode(),
        outcome.contract.encode(),
        outcome.contract_version,
        outcome.status,
        outcome.code.encode(),
        outcome.fail_text.encode(),
        outcome.output_hash,
    )
    read = {(pin.namespace, pin.key): pin.record_hash for pin in outcome.reads}
    assert [write[:-1] for write in slices.writes] == [
        (
            pin.namespace.encode(),
            pin.key.encode(),
            pin.version,
            pin.deleted,
            pin.record_hash,
            read.get((pin.namespace, pin.key), b""),
        )
        for pin in outcome.writes
    ]


@given(st.lists(st.tuples(OUTCOMES, st.integers(0, 2), st.integers(0, 3)), max_size=6), HASHES)
def test_outcomes_of_a_batch_are_sliced_as_each_alone(drawn: list[tuple[Outcome, int, int]], other: bytes) -> None:
    """What one outcome remembers of the one before never shows: callers, and reads of the registry, alike or nearly."""
    pins = (ReadPin("sys", "a", 1, -1, 3, b"a" * 32), ReadPin("sys", "b", 200, 7, 300, b"b" * 32))
    nearly = (pins[0], pins[1]._replace(record_hash=other))
    bodies = []
    for outcome, kind, count in drawn:
        reads = ((), pins, nearly)[kind] + outcome.reads[:count]
        writes = (*outcome.writes, *(WritePin("sys", pin.key, 2, False, b"w" * 32) for pin in pins))
        bodies.append(replace(outcome, entity="one", contract="two", reads=reads, writes=writes).to_bytes())
    assert slice_outcomes(bodies) == tuple(slice_outcome(body) for body in bodies)


@given(OUTCOMES, st.data())
def test_a_write_knows_the_version_before_it(outcome: Outcome, data: st.DataObject) -> None:
    """By the hash its request read, wherever among the reads that stands."""
    if not outcome.reads:
        return
    pin = data.draw(st.sampled_from(outcome.reads))
    others = tuple(other for other in outcome.reads if other[:2] != pin[:2])
    write = WritePin(
        pin.namespace, pin.key, pin.version + 1 if pin.version < 2**63 - 1 else 1, False, b"w" * 32
    )
    written = replace(outcome, reads=(*others, pin), writes=(*outcome.writes, write))
    assert slice_outcome(written.to_bytes()).writes[-1][5] == pin.record_hash


@given(st.lists(OUTCOMES, max_size=3), st.data(), HASHES, NUMBERS, NUMBERS, NUMBERS)
def test_what_is_joined_is_what_the_codec_gives(
    outcomes: list[Outcome], data: st.DataObject, ledger_id: bytes, sequence: int, ordered: int, learned: int
) -> None:
    """A message of the change feed made of slices parses to the outcomes it was made of."""
    values = [[data.draw(st.binary(max_size=80)) for _ in outcome.writes] for outcome in outcomes]
    joined = [
        join_learned_request(slice_outcome(outcome.to_bytes()), written)
        for outcome, written in zip(outcomes, values, strict=True)
    ]
    assert Learned.from_message(join_learned(ledger_id, sequence, ordered, learned, joined)) == Learned(
        ledger_id=ledger_id,
        sequence=sequence,
        ordered_at_ms=ordered,
        learned_at_ms=learned,
        requests=tuple(
            LearnedRequest(
                outcome.request_id,
                outcome.entity,
                outcome.contract,
                outcome.status,
                outcome.code,
                tuple(
                    LearnedWrite(pin.namespace, pin.key, pin.version, pin.deleted, value)
                    for pin, value in zip(outcome.writes, written, strict=True)
                ),
            )
            for outcome, written in zip(outcomes, values, strict=True)
        ),
    )


@given(TEXTS, NUMBERS, TEXTS, NUMBERS, st.binary(max_size=300), NUMBERS)
def test_an_entrys_argument(
    entity: str, key_version: int, contract: str, version: int, argument: bytes, index: int
) -> None:
    """The argument is found under entry, envelope and body."""
    body = RequestBody(
        format=1,
        ledger_id=b"l" * 32,
        entity=entity,
        key_version=key_version,
        nonce=b"n" * 16,
        contract=contract,
        contract_version=version,
        argument=argument,
        not_before_ms=0,
        expiry_ms=1,
        after=-1,
        keys=(RecordName("bank", "a"),),
    )
    envelope = Envelope(body=body.to_bytes(), index=0, count=1, path=(b"p" * 32,), signature=b"s" * 64)
    writes = (WriteVersion("bank", "a", 1, False),)
    entry = Entry(index=index, envelope=envelope.to_bytes(), reads=(), scans=(), writes=writes)
    assert slice_argument(entry.to_bytes()) == argument


@given(st.binary(max_size=400))
@example(b"\xff" * 300)
@example(bytes(33) + b"\x01")  # a length of -1
def test_any_bytes_end(data: bytes) -> None:
    """Bytes that nobody verified give some fields or the one error, and always end."""
    for cut in (slice_outcome, slice_argument):
        with suppress(MalformedMessageError):
            cut(data)


@given(OUTCOMES, st.data())
def test_an_outcome_that_ends_early_or_goes_on_is_malformed(outcome: Outcome, data: st.DataObject) -> None:
    """Every prefix is refused, and every byte behind the end."""
    body = outcome.to_bytes()
    for wrong in (body[: data.draw(st.integers(0, len(body) - 1))], body + b"\0"):
        with pytest.raises(MalformedMessageError):
            slice_outcome(wrong)
