"""The last signature that is in its one form and the first that is not, both good to a library that looks no closer."""

from hashlib import sha256, sha512

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from protocol.signing import BadSignatureError, SigningKey, verify_key

Q = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SIGNED = b"what is signed"
NONCE = 3


def signed_with(s: int) -> tuple[ec.EllipticCurvePublicKey, SigningKey, bytes, int]:
    """A key whose signature over `SIGNED` has this very s: `s * NONCE = hash + r * secret`, solved for the secret."""
    r = ec.derive_private_key(NONCE, ec.SECP256R1()).public_key().public_numbers().x % Q
    hashed = int.from_bytes(sha256(SIGNED).digest(), "big")
    secret = ec.derive_private_key((s * NONCE - hashed) * pow(r, -1, Q) % Q, ec.SECP256R1())
    return secret.public_key(), SigningKey(secret), r.to_bytes(32, "big") + s.to_bytes(32, "big"), r


@pytest.mark.parametrize("s", [1, 2**255 - 2**223, Q // 2 - 1, Q // 2])
def test_the_greatest_s_that_is_allowed(s: int) -> None:
    """`s <= q/2`, up to the half itself; and the least."""
    _, key, signature, _ = signed_with(s)
    verify_key(*key.public_key).verify(SIGNED, signature)


@pytest.mark.parametrize("s", [Q // 2 + 1, Q - 1])
def test_the_first_s_beyond(s: int) -> None:
    """OpenSSL accepts it; it would be the second form of a signature."""
    public, key, signature, r = signed_with(s)
    public.verify(encode_dss_signature(r, s), SIGNED, ec.ECDSA(SHA256()))
    with pytest.raises(BadSignatureError, match="lower half"):
        verify_key(*key.public_key).verify(SIGNED, signature)


def test_a_number_that_is_reduced_is_not_its_second_form() -> None:
    """r + q is the same number to the equation, and s + q as well; neither is in its range."""
    public, key, signature, r = signed_with(5)
    public.verify(encode_dss_signature(r, 5), SIGNED, ec.ECDSA(SHA256()))
    with pytest.raises(BadSignatureError):
        verify_key(*key.public_key).verify(SIGNED, signature[:32] + (5 + Q).to_bytes(32, "big"))
    for number in (0, Q, Q + 1):
        with pytest.raises(BadSignatureError, match="of 64 bytes"):
            verify_key(*key.public_key).verify(SIGNED, number.to_bytes(32, "big") + signature[32:])
    with pytest.raises(InvalidSignature):
        public.verify(encode_dss_signature(r, 6), SIGNED, ec.ECDSA(SHA256()))


def test_a_zero_more_is_no_second_form() -> None:
    """`r || 0 || s` and `0 || r || s` hold the same numbers, in 65 bytes."""
    _, key, signature, _ = signed_with(5)
    verify_key(*key.public_key).verify(SIGNED, signature)
    for longer in (signature[:32] + b"\0" + signature[32:], b"\0" + signature, signature + b"\0"):
        with pytest.raises(BadSignatureError, match="of 64 bytes"):
            verify_key(*key.public_key).verify(SIGNED, longer)


@pytest.mark.parametrize("seed", [bytes(32), b"\7" * 32, bytes(range(32))])
def test_the_key_of_a_seed(seed: bytes) -> None:
    """As the docstring says, computed here once more: a key that came out otherwise would be lost."""
    wide = int.from_bytes(sha512(b"CSv1-p256" + seed).digest(), "big")
    assert (
        SigningKey.from_seed("p256", seed).public_key
        == SigningKey(ec.derive_private_key(wide % (Q - 1) + 1, ec.SECP256R1())).public_key
    )
