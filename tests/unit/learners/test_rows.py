"""Rows and the change feed's messages, from the bytes of updates."""

from dataclasses import replace
from typing import Any

import pytest

from learners.rows import BATCH_AGE_MS, BATCH_BYTES, BATCH_ROWS, RowGatherer, genesis_rows
from protocol.hashing import ZERO_HASH
from protocol.records import RecordKey, record_hash
from schemas.epoch import Genesis, GenesisRecord, PublicKey
from schemas.errors import MalformedMessageError
from schemas.feed import Learned, LearnedRequest, LearnedWrite
from schemas.order import Entry
from schemas.outcome import Outcome, ReadPin, WritePin
from schemas.request import Envelope, RequestBody
from schemas.statement import Statement, Update
from storage.views import REQUEST_COLUMNS, VERSION_COLUMNS, BlockRow

LEDGER_ID = b"l" * 32
KEY = PublicKey("p256", b"k" * 33)


def statement(sequence: int, count: int) -> Statement:
    return Statement(
        format=1,
        ledger_id=LEDGER_ID,
        epoch=0,
        sequence=sequence,
        order_hash=ZERO_HASH,
        outcomes_root=ZERO_HASH,
        count=count,
        ordered_at_ms=1_790_000_000_000,
        kind="normal",
        previous_statement_hash=ZERO_HASH,
        journal_root=ZERO_HASH,
    )


def entry(argument: bytes) -> bytes:
    body = RequestBody(
        format=1,
        ledger_id=LEDGER_ID,
        entity="alice",
        key_version=1,
        nonce=b"n" * 16,
        contract="put",
        contract_version=2,
        argument=argument,
        not_before_ms=0,
        expiry_ms=1,
        after=-1,
        keys=(),
    )
    envelope = Envelope(body=body.to_bytes(), index=0, count=1, path=(), signature=b"s" * 64)
    return Entry(index=0, envelope=envelope.to_bytes(), reads=(), scans=(), writes=()).to_bytes()


def outcome(index: int, *writes: WritePin, **fields: Any) -> bytes:
    values: dict[str, Any] = {"status": "ok", "code": "", "fail_text": "", **fields}
    return Outcome(
        index=index,
        request_id=bytes([index]) * 32,
        entity="alice",
        key_version=1,
        contract="put",
        contract_version=2,
        output_hash=ZERO_HASH,
        reads=(ReadPin("sys", "contract/put/2", 1, -1, 3, ZERO_HASH),),
        scans=(),
        writes=writes,
        **values,
    ).to_bytes()


def update(outcomes: list[bytes], values: list[bytes], outputs: tuple[bytes, ...] | None = None) -> Update:
    return Update(
        statement=b"",
        header=b"",
        salt=ZERO_HASH,
        entries=tuple(entry(b'{"n":%d}' % n) for n in range(len(outcomes))),
        outcomes=tuple(outcomes),
        outputs=tuple(b"%d" % n for n in range(len(outcomes))) if outputs is None else outputs,
        values=tuple(values),
    )


def block(number: int, learned_at_ms: int = 0) -> BlockRow:
    return BlockRow(
        block=number, first_sequence=number, count=1, epoch=0, root=ZERO_HASH, learned_at_ms=learned_at_ms
    )


PUT = WritePin("object", "a", 1, False, b"1" * 32)
DELETE = WritePin("object", "b", 7, True, b"2" * 32)


def test_an_update_becomes_rows_and_a_message() -> None:
    """Each request one row, each version one row with its value, and a message that says the same."""
    gatherer = RowGatherer()
    outcomes = [
        outcome(0, PUT, DELETE),
        outcome(1, status="failed", code="contract.failed", fail_text="no money"),
    ]
    message = gatherer.add(update(outcomes, [b'"x"', b""], (b"0", b"")), statement(5, 2), learned_at_ms=9)
    gatherer.end_block(block(5))
    rows = gatherer.take()
    assert [dict(zip(REQUEST_COLUMNS, row, strict=True)) for row in rows.requests] == [
        {
            "request_id": bytes([index]) * 32,
            "sequence": 5,
            "index": index,
            "entity": b"alice",
            "contract": b"put",
            "contract_version": 2,
            "status": status,
            "code": code,
            "fail_text": fail_text,
            "ordered_at_ms": 1_790_000_000_000,
            "argument": b'{"n":%d}' % index,
            "output": output,
        }
        for index, status, code, fail_text, output in (
            (0, "ok", b"", b"", b"0"),
            (1, "failed", b"contract.failed", b"no money", None),
        )
    ]
    place = {"namespace": b"object", "sequence": 5, "index": 0, "request_id": bytes(32)}
    assert [dict(zip(VERSION_COLUMNS, row, strict=True)) for row in rows.versions] == [
        {"key": b"a", "version": 1, "deleted": False, "value": b'"x"', "record_hash": b"1" * 32, **place},
        {"key": b"b", "version": 7, "deleted": True, "value": None, "record_hash": b"2" * 32, **place},
    ]
    assert rows.blocks == [block(5)]
    writes = (LearnedWrite("object", "a", 1, False, b'"x"'), LearnedWrite("object", "b", 7, True, b""))
    assert Learned.from_message(message) == Learned(
        ledger_id=LEDGER_ID,
        sequence=5,
        ordered_at_ms=1_790_000_000_000,
        learned_at_ms=9,
        requests=(
            LearnedRequest(bytes(32), "alice", "put", "ok", "", writes),
            LearnedRequest(bytes([1]) * 32, "alice", "put", "failed", "contract.failed", ()),
        ),
    )


def test_an_empty_update_is_learned_too() -> None:
    """It fills a block: no rows, but a message and a place in the block."""
    gatherer = RowGatherer()
    message = gatherer.add(update([], []), statement(0, 0), learned_at_ms=1)
    assert Learned.from_message(message).requests == ()
    gatherer.end_block(block(0))
    rows = gatherer.take()
    assert (rows.requests, rows.versions, rows.blocks) == ([], [], [block(0)])


@pytest.mark.parametrize(
    "wrong",
    [
        update([outcome(0, PUT)], []),
        update([outcome(0, PUT)], [b"1", b"2"]),
        update([outcome(0)], [b"1"]),
        update([b"rubbish"], []),
        update([outcome(0, PUT)[:-1]], [b"1"]),
        update([outcome(0), outcome(1)], [], outputs=(b"0",)),
        update([outcome(0)], [], outputs=(b"0", b"1")),
        replace(update([outcome(0)], []), entries=()),
        replace(update([outcome(0)], []), entries=(entry(b"1"), entry(b"2"))),
        replace(update([outcome(0)], []), entries=(b"rubbish",)),
    ],
    ids=[
        "value missing",
        "value too many",
        "value of nothing",
        "no outcome",
        "half an outcome",
        "output missing",
        "output too many",
        "no entry",
        "entry too many",
        "no argument",
    ],
)
def test_parts_that_do_not_fit(wrong: Update) -> None:
    """A learner that got this far with it stops; nothing is guessed."""
    with pytest.raises(MalformedMessageError):
        RowGatherer().add(wrong, statement(0, 1), learned_at_ms=0)


def test_a_batch_is_due_by_rows_bytes_or_age() -> None:
    """And never without a whole block."""
    gatherer = RowGatherer()
    assert not gatherer.due(1 << 60)
    gatherer.add(update([outcome(0)], []), statement(0, 1), learned_at_ms=1000)
    assert not gatherer.due(1 << 60)
    gatherer.end_block(block(0, learned_at_ms=1000))
    assert not gatherer.due(1000 + BATCH_AGE_MS - 1)
    assert gatherer.due(1000 + BATCH_AGE_MS)
    gatherer.end_block(block(1, learned_at_ms=1000 + BATCH_AGE_MS))
    assert gatherer.due(1000 + BATCH_AGE_MS), "the oldest block counts"
    gatherer.take()
    assert not gatherer.due(1 << 60)

    gatherer.add(update([outcome(0)] * BATCH_ROWS, []), statement(1, BATCH_ROWS), learned_at_ms=0)
    gatherer.end_block(block(2))
    assert gatherer.due(0)
    gatherer.take()
    gatherer.add(update([outcome(0, PUT)], [b"1" * BATCH_BYTES]), statement(2, 1), learned_at_ms=0)
    gatherer.end_block(block(3))
    assert gatherer.due(0)
    gatherer.take()
    half = BATCH_ROWS // 2
    gatherer.add(update([outcome(0, PUT)] * half, [b"1"] * half), statement(3, half), learned_at_ms=0)
    gatherer.end_block(block(4))
    assert gatherer.due(0), "versions are rows as requests are"
    gatherer.take()
    gatherer.end_block(block(5))
    assert not gatherer.due(0), "a taken batch leaves nothing behind"


def test_a_clock_that_is_put_back_holds_nothing_up() -> None:
    """An hour back, and what was gathered would wait for an hour while everybody asks for it."""
    gatherer = RowGatherer()
    gatherer.end_block(block(0, learned_at_ms=3_600_000))
    assert not gatherer.due(3_600_000)
    assert gatherer.due(3_600_000 - 1)


def test_genesis_rows() -> None:
    """Initial records are version 1 of sequence -1, with the hash that later versions chain to."""
    genesis = Genesis(
        format=1,
        auditor_nonce=ZERO_HASH,
        auditor_key=KEY,
        ledger_nonce=ZERO_HASH,
        ledger_key=KEY,
        administrators=(),
        records=(GenesisRecord("sys", "entity/a", b"{}"), GenesisRecord("sys", "namespace/b", b"[]")),
    )
    rows = genesis_rows(LEDGER_ID, genesis)
    assert [row[:5] for row in rows.versions] == [
        (b"sys", b"entity/a", 1, False, b"{}"),
        (b"sys", b"namespace/b", 1, False, b"[]"),
    ]
    pinned = record_hash(LEDGER_ID, RecordKey("sys", "namespace/b"), 1, False, b"[]", ZERO_HASH, ZERO_HASH)
    assert rows.versions[1][5:] == (pinned, -1, 1, ZERO_HASH)
    assert not rows.requests
    assert not rows.blocks
