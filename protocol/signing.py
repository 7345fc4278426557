"""Keys and signatures: ECDSA over P-256 and Ed25519. The only door to `cryptography`.

Rules:

1. A signature is 64 bytes. P-256: `r || s`, big-endian, `0 < s <= q/2`: OpenSSL accepts `q - s` as well, so
   without this a broker could make two valid messages out of one. Ed25519: as in RFC 8032, with `S < L`.
2. Signatures are deterministic (RFC 6979, RFC 8032): a message sent again is byte-identical.
3. A public key has one form: P-256 a compressed point of 33 bytes, Ed25519 32 bytes with `y < p`. Ed25519
   keys of small order are refused: under the identity anything verifies.
4. No randomness here: a new key comes from a seed. A private key shows in no repr and no error.

Sources: SEC 1 section 2.3, RFC 6979, RFC 8032, and PROTOCOL 1.1 for what is signed.
"""

import struct
from functools import lru_cache
from hashlib import sha512
from typing import Literal, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256

from protocol.errors import CountersignError
from schemas.epoch import PublicKey

Algorithm = Literal["p256", "ed25519"]
Role = Literal["client", "auditor", "ledger", "replica"]

SIGNATURE_SIZE = 64
"""Bytes of a signature, of either algorithm."""

SEED_SIZE = 32
"""Bytes of a seed that a private key is made from."""

_CACHED_KEYS = 4096

_Q = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # order of P-256's base point
_Q_BYTES = _Q.to_bytes(32, "big")
_HALF_Q = _Q // 2
_HALF_Q_BYTES = _HALF_Q.to_bytes(32, "big")
_ZERO_BYTES = bytes(32)
_CURVE = ec.SECP256R1()
_ECDSA = ec.ECDSA(SHA256(), deterministic_signing=True)

_P25519 = 2**255 - 19
_D25519 = -121665 * pow(121666, -1, _P25519) % _P25519
_Y_OF_SMALL_ORDER = frozenset(
    {
        0,  # order 4
        1,  # the identity
        _P25519 - 1,  # order 2
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,  # order 8
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,  # order 8
    }
)

_length = struct.Struct(">Q").pack


class BadSignatureError(CountersignError):
    """A signature that does not verify, or is not in its one form."""

    def __init__(self, detail: str) -> None:
        super().__init__("signature.bad", detail)


class BadKeyError(CountersignError, ValueError):
    """Bytes that are no acceptable key."""

    def __init__(self, detail: str) -> None:
        super().__init__("key.refused", detail)


def signature_input(
    role: Role, kind: str, ledger_id: bytes, epoch: int, schema_hash: bytes, message_hash: bytes
) -> bytes:
    """The bytes that are signed: "CSv1-sig", then each part with its length as u64 big-endian.

    Args:
        role: as what the signer signs.
        kind: of the message.
        ledger_id: of the ledger that is meant.
        epoch: 0 for clients, whose requests outlive a change of epoch; as u64 big-endian.
        schema_hash: SHA-256 of the schema's parsing canonical form.
        message_hash: `H(kind, body)`.
    """
    signed = [b"CSv1-sig"]
    for part in (role.encode(), kind.encode(), ledger_id, _length(epoch), schema_hash, message_hash):
        signed += (_length(len(part)), part)
    return b"".join(signed)


class VerifyKey:
    """A public key that has been checked. Made by `verify_key`."""

    __slots__ = ("_key", "public_key")

    def __init__(
        self, public_key: PublicKey, key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
    ) -> None:
        self.public_key = public_key
        self._key = key

    def __repr__(self) -> str:
        return f"VerifyKey({self.public_key.algorithm}, {self.public_key.key.hex()})"

    def verify(self, signed: bytes, signature: bytes) -> None:
        """Check a signature over bytes. Releases the interpreter's lock meanwhile.

        Raises:
            BadSignatureError: it does not verify, or is not in its one form.
        """
        key = self._key
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, signed)
            else:
                key.verify(_der_of(signature), signed, _ECDSA)
        except InvalidSignature:
            raise BadSignatureError("it is not this key's over these bytes") from None


@lru_cache(maxsize=_CACHED_KEYS)
def verify_key(algorithm: str, key: bytes) -> VerifyKey:
    """The public key of raw bytes; the most recent ones are remembered.

    Args:
        algorithm: "p256" or "ed25519".
        key: a compressed point of 33 bytes, or 32 bytes.

    Raises:
        BadKeyError: unknown algorithm, no point of the curve, another form, or small order.
    """
    if algorithm == "p256":
        return VerifyKey(PublicKey(algorithm, key), _p256_key(key))
    if algorithm == "ed25519":
        return VerifyKey(PublicKey(algorithm, key), _ed25519_key(key))
    raise BadKeyError(f"algorithm {algorithm[:32]!r}")


def _p256_key(key: bytes) -> ec.EllipticCurvePublicKey:
    if len(key) != 33 or key[0] not in (2, 3):
        raise BadKeyError("not a compressed point of 33 bytes")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, key)
    except ValueError:
        raise BadKeyError("not a point of P-256") from None


def _ed25519_key(key: bytes) -> ed25519.Ed25519PublicKey:
    if len(key) != 32:
        raise BadKeyError("not 32 bytes")
    y = int.from_bytes(key, "little") & (2**255 - 1)
    if y >= _P25519:
        raise BadKeyError("y is not reduced")
    if y in _Y_OF_SMALL_ORDER:
        raise BadKeyError("a point of small order")
    # x^2 = (y^2 - 1) / (d y^2 + 1) must have a root (Euler's criterion); OpenSSL looks only when it verifies.
    x_squared = (y * y - 1) * pow(_D25519 * y * y + 1, -1, _P25519)
    if pow(x_squared, (_P25519 - 1) // 2, _P25519) != 1:
        raise BadKeyError("not a point of Curve25519")
    return ed25519.Ed25519PublicKey.from_public_bytes(key)


class SigningKey:
    """A private key. Made by `from_seed` or `load`."""

    __slots__ = ("_key", "public_key")

    def __init__(self, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> None:
        self._key = key
        encoding, form = serialization.Encoding, serialization.PublicFormat
        public = key.public_key()
        if isinstance(public, ed25519.Ed25519PublicKey):
            self.public_key = PublicKey("ed25519", public.public_bytes(encoding.Raw, form.Raw))
        else:
            self.public_key = PublicKey("p256", public.public_bytes(encoding.X962, form.CompressedPoint))

    def __repr__(self) -> str:
        return f"SigningKey(of {self.public_key.algorithm}, {self.public_key.key.hex()})"

    @classmethod
    def from_seed(cls, algorithm: Algorithm, seed: bytes) -> Self:
        """The key that belongs to a seed of `SEED_SIZE` bytes, which the caller drew and keeps secret.

        Ed25519 takes the seed as its private key. P-256 takes SHA-512 over the curve's name and the seed,
        reduced into 1 .. q-1; the extra bits make every key as likely (FIPS 186-5, A.2.1).

        Raises:
            BadKeyError: there is no such algorithm.
        """
        assert len(seed) == SEED_SIZE
        if algorithm == "ed25519":
            return cls(ed25519.Ed25519PrivateKey.from_private_bytes(seed))
        if algorithm != "p256":
            raise BadKeyError(f"no algorithm is called {algorithm}")
        wide = int.from_bytes(sha512(b"CSv1-p256" + seed).digest(), "big")
        return cls(ec.derive_private_key(wide % (_Q - 1) + 1, _CURVE))

    @classmethod
    def load(cls, data: bytes) -> Self:
        """Read an unencrypted private key, PEM or DER.

        Raises:
            BadKeyError: it is none, or of another kind.
        """
        read = serialization.load_der_private_key
        if data.startswith(b"-----BEGIN"):
            read = serialization.load_pem_private_key
        try:
            key = read(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise BadKeyError("not a private key in PEM or DER, or encrypted") from None
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return cls(key)
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return cls(key)
        raise BadKeyError("a private key that is neither P-256 nor Ed25519")

    def to_pem(self) -> bytes:
        """The private key in PEM (PKCS #8), unencrypted: only for the file it is kept in."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def sign(self, signed: bytes) -> bytes:
        """The signature over bytes: 64 bytes, the same for the same bytes."""
        key = self._key
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(signed)
        return _raw_of(key.sign(signed, _ECDSA))


def _der_of(signature: bytes) -> bytes:
    """A DER signature of `r || s`.

    Raises:
        BadSignatureError: not 64 bytes, or r or s out of range.
    """
    r, s = signature[:32], signature[32:]
    if len(signature) != SIGNATURE_SIZE or not _ZERO_BYTES < r < _Q_BYTES:
        raise BadSignatureError("not r || s of 64 bytes")
    if not _ZERO_BYTES < s <= _HALF_Q_BYTES:
        raise BadSignatureError("s is not in its lower half")
    integers = _der_integer(r) + _der_integer(s)
    return b"\x30" + bytes((len(integers),)) + integers


def _der_integer(value: bytes) -> bytes:
    value = value.lstrip(b"\0")
    if value[0] & 0x80:
        return bytes((2, len(value) + 1, 0)) + value
    return bytes((2, len(value))) + value


def _raw_of(der: bytes) -> bytes:
    """`r || s` with low s, of a DER signature that OpenSSL made."""
    r_end = 4 + der[3]
    s = int.from_bytes(der[r_end + 2 :], "big")
    if s > _HALF_Q:
        s = _Q - s
    return int.from_bytes(der[4:r_end], "big").to_bytes(32, "big") + s.to_bytes(32, "big")
