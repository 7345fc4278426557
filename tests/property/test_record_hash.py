"""The record hash, written out for speed, is the one tagged hash of its parts."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.hashing import tagged
from protocol.records import RecordKey, record_hash

HASHES = st.binary(min_size=32, max_size=32)


@given(
    HASHES,
    st.text(max_size=9),
    st.text(max_size=9),
    st.integers(0, 2**63 - 1),
    st.booleans(),
    st.binary(max_size=99),
    HASHES,
    HASHES,
)
def test_record_hash_is_the_tagged_hash(
    ledger_id: bytes,
    namespace: str,
    key: str,
    version: int,
    deleted: bool,
    value: bytes,
    request_id: bytes,
    previous_hash: bytes,
) -> None:
    """For any parts."""
    parts = (version.to_bytes(8, "big"), bytes((deleted,)), value, request_id, previous_hash)
    assert record_hash(
        ledger_id, RecordKey(namespace, key), version, deleted, value, request_id, previous_hash
    ) == tagged("record", ledger_id, namespace.encode(), key.encode(), *parts)
