"""What is counted of a request before it is ordered is never less than what it takes in a decision.

Otherwise a batch could be ordered whose decision no message can hold: it could never be sent, nor anything after it.
"""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from protocol.batches import entry_of, outcome_of
from protocol.contracts.calls import Execution, Read, Row, Scan, Write
from protocol.contracts.execution import bytes_in_decision
from protocol.limits import Limits
from protocol.records import VERSION_MAX, Record
from protocol.requests import OpenedRequest
from schemas.binary import encode_bytes, encode_long
from tests.property.test_leaves import opened

LIMITS = replace(Limits(), name_bytes=64, key_bytes=300)
HASH = bytes(32)

versions = st.sampled_from([0, 1, 200, 2**31, VERSION_MAX])
sequences = st.sampled_from([-1, 0, 5000, VERSION_MAX])
indexes = st.sampled_from([-1, 0, 999, 2**31 - 1])
letters = st.sampled_from("ké鍵\U0001f511\0")


def texts(bytes_max: int) -> st.SearchStrategy[str]:
    """As long as they may be, or shorter."""
    return st.builds(lambda letter, share: letter * (share * bytes_max // 4 // 4), letters, st.integers(0, 4))


names, keys = texts(LIMITS.name_bytes), texts(LIMITS.key_bytes)
reads = st.builds(Read, names, keys, versions, sequences, indexes, st.just(HASH))
rows = st.builds(Row, keys, versions, sequences, indexes, st.just(HASH))
scans = st.builds(
    Scan, names, keys, keys, st.just(64), keys, st.booleans(), st.lists(rows, max_size=3).map(tuple)
)
records = st.builds(
    lambda version, value: Record(version, not value, value, HASH, HASH, HASH, VERSION_MAX, 2**31 - 1),
    versions,
    st.binary(max_size=20) | st.just(bytes(10_000)),
)
executions = st.builds(
    Execution,
    index=indexes,
    status=st.sampled_from(["ok", "failed"]),
    code=st.sampled_from(["", "contract.output_too_large"]),
    fail_text=texts(LIMITS.fail_text_bytes),
    output=st.binary(max_size=20) | st.just(bytes(10_000)),
    reads=st.lists(reads, max_size=3).map(tuple),
    scans=st.lists(scans, max_size=2).map(tuple),
    writes=st.lists(st.builds(Write, names, keys, records), max_size=3).map(tuple),
)


@given(
    request=st.builds(opened, names, names, st.just(VERSION_MAX), st.binary(max_size=300)), execution=executions
)
def test_no_request_takes_more_than_is_counted(request: OpenedRequest, execution: Execution) -> None:
    """Entry, outcome, output and values, each with its length; names of every length and alphabet, great numbers."""
    written = [write.record.value for write in execution.writes]
    parts = (entry_of(request, execution).to_bytes(), outcome_of(request, execution).to_bytes(), execution.output)
    taken = sum(len(encode_bytes(part)) for part in (*parts, *written))
    envelope = len(encode_long(len(request.envelope_bytes))) + len(request.envelope_bytes)
    assert taken - envelope <= bytes_in_decision(execution, LIMITS)


@given(execution=executions)
def test_no_request_is_longer_than_a_batch_may_be(execution: Execution) -> None:
    """A decision has room for the longest request alone, however small batches are to be."""
    count = len(execution.reads) + len(execution.writes) + sum(1 + len(scan.rows) for scan in execution.scans)
    values = len(execution.output) + sum(len(write.record.value) for write in execution.writes)
    few = replace(LIMITS, records_per_request=max(1, count), value_bytes=1, request_output_bytes=max(1, values))
    smallest = replace(few, argument_bytes=1, request_bytes=1, batch_bytes=1, batch_output_bytes=max(1, values))
    assert bytes_in_decision(execution, smallest) < smallest.decision_bytes
