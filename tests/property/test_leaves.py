"""Entries and outcomes encoded by hand are byte for byte what Avro makes of the same values."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from protocol.batches import entry_of, leaves_of, outcome_of
from protocol.contracts.calls import Execution, Read, Write
from protocol.records import Record
from protocol.requests import OpenedRequest
from schemas.errors import MalformedMessageError
from schemas.leaves import outcome_begin, outcome_end_of_head
from schemas.outcome import OutcomeHead
from schemas.request import Envelope, RequestBody

longs = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
hashes = st.binary(min_size=32, max_size=32)
reads = st.builds(Read, texts, texts, longs, longs, longs, hashes)
records = st.builds(
    Record,
    version=longs,
    deleted=st.booleans(),
    value=st.binary(max_size=20),
    request_id=hashes,
    previous_hash=hashes,
    record_hash=hashes,
    writer_sequence=longs,
    writer_index=longs,
)
writes = st.builds(Write, texts, texts, records)
executions = st.builds(
    Execution,
    index=longs,
    status=st.sampled_from(["ok", "failed"]),
    code=texts,
    fail_text=texts,
    output=st.binary(max_size=20),
    reads=st.lists(reads, max_size=4).map(tuple),
    scans=st.just(()),
    writes=st.lists(writes, max_size=4).map(tuple),
)


def opened(entity: str, contract: str, version: int, envelope_bytes: bytes) -> OpenedRequest:
    """A request as `open_request` gives it; the leaves depend on these fields only."""
    body = RequestBody(
        format=1,
        ledger_id=bytes(32),
        entity=entity,
        key_version=version,
        nonce=bytes(16),
        contract=contract,
        contract_version=version,
        argument=b"null",
        not_before_ms=0,
        expiry_ms=0,
        after=-1,
        keys=(),
    )
    envelope = Envelope(body=b"", index=0, count=1, path=(), signature=bytes(64))
    return OpenedRequest(
        envelope_bytes=envelope_bytes, envelope=envelope, body=body, request_id=b"r" * 32, root=b"r" * 32
    )


@given(st.builds(opened, texts, texts, longs, st.binary(max_size=300)), executions)
def test_leaves_made_by_hand_equal_their_twins(request: OpenedRequest, execution: Execution) -> None:
    """Whatever the values: signs, sizes, alphabets, empty and full lists."""
    twins = entry_of(request, execution).to_bytes(), outcome_of(request, execution).to_bytes()
    assert leaves_of(request, execution) == twins
    outcome, body = OutcomeHead.from_compared(twins[1]), request.body
    call = body.entity, body.key_version, body.contract, body.contract_version
    begin = outcome_begin(execution.index, request.request_id, *call)
    assert twins[1].startswith(begin)
    head = outcome.status, outcome.code, outcome.fail_text, outcome.output_hash
    assert outcome_end_of_head(twins[1], len(begin)) == head


@given(st.binary(max_size=80))
def test_any_bytes_as_an_outcomes_head(rubbish: bytes) -> None:
    """Fields, or the one error."""
    with suppress(MalformedMessageError):
        assert outcome_end_of_head(rubbish, 0)[0] in ("ok", "failed")
