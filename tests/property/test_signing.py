"""For any key and bytes, signatures verify there and nowhere else, and their two encodings agree."""

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.signing import (
    Algorithm,
    BadKeyError,
    BadSignatureError,
    SigningKey,
    _der_of,
    _raw_of,
    signature_input,
    verify_key,
)
from tests.reference import hashing as reference

Q = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ALGORITHMS = st.sampled_from(["p256", "ed25519"])
SEEDS = st.binary(min_size=32, max_size=32)
HASHES = st.binary(min_size=32, max_size=32)
# Small numbers and numbers at a byte's edge have leading zeros or a leading bit that DER treats on its own.
NUMBERS = (
    st.integers(1, Q // 2)
    | st.integers(1, 300)
    | st.integers(0, 254).map(lambda bits: 1 << bits)
    | st.integers(1, 254).map(lambda bits: (1 << bits) - 1)
)


@settings(max_examples=50)
@given(ALGORITHMS, SEEDS, st.binary(max_size=100), st.binary(max_size=100))
def test_a_signature_is_of_its_bytes(algorithm: Algorithm, seed: bytes, signed: bytes, other: bytes) -> None:
    """It verifies over these bytes, and over others only if they are the same."""
    key = SigningKey.from_seed(algorithm, seed)
    signature = key.sign(signed)
    check = verify_key(*key.public_key)
    check.verify(signed, signature)
    try:
        check.verify(other, signature)
    except BadSignatureError:
        assert other != signed
    else:
        assert other == signed


@given(NUMBERS, NUMBERS)
def test_both_encodings(r: int, s: int) -> None:
    """`r || s` and DER come from one another, for every size of number."""
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert _der_of(raw) == encode_dss_signature(r, s)
    assert _raw_of(encode_dss_signature(r, s)) == raw
    assert _raw_of(encode_dss_signature(r, Q - s)) == raw


@given(ALGORITHMS, st.binary(max_size=70) | st.binary(min_size=64, max_size=64))
def test_any_bytes_as_a_signature(algorithm: Algorithm, signature: bytes) -> None:
    """Whatever a stranger sends as a signature: the one error."""
    key = verify_key(*SigningKey.from_seed(algorithm, bytes(32)).public_key)
    try:
        key.verify(b"message", signature)
    except BadSignatureError:
        return
    raise AssertionError


@given(ALGORITHMS | st.text(max_size=5), st.binary(max_size=40) | HASHES | HASHES.map(lambda x: b"\2" + x))
def test_any_bytes_as_a_key(algorithm: str, data: bytes) -> None:
    """Whatever a stranger registers as a key: a key of exactly these bytes, or the one error."""
    try:
        key = verify_key(algorithm, data)
    except BadKeyError:
        return
    assert key.public_key == (algorithm, data)


@given(st.sampled_from(["client", "auditor", "ledger"]), st.text(max_size=9), st.integers(0, 2**63), HASHES)
def test_what_is_signed(role: str, kind: str, epoch: int, some_hash: bytes) -> None:
    """The bytes are those spelled out from the protocol."""
    parts = (role, kind, some_hash, epoch, some_hash[::-1], some_hash)
    assert signature_input(*parts) == reference.signature_input(*parts)  # type: ignore[arg-type]
