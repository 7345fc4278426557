"""Keys and signatures have one form each, and a signature counts only where it was given."""

import itertools
import json
import sys
import threading
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from protocol.signing import (
    SIGNATURE_SIZE,
    Algorithm,
    BadKeyError,
    BadSignatureError,
    SigningKey,
    signature_input,
    verify_key,
)
from tests.reference import hashing as reference

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/signatures.json").read_text())
Q = int(VECTORS["p256"]["order"], 16)
P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
P25519 = 2**255 - 19
L25519 = 2**252 + 27742317777372353535851937790883648493
ALGORITHMS: tuple[Algorithm, ...] = ("p256", "ed25519")
KEYS = {algorithm: SigningKey.from_seed(algorithm, b"\7" * 32) for algorithm in ALGORITHMS}


def published_p256() -> SigningKey:
    return SigningKey(ec.derive_private_key(int(VECTORS["p256"]["secret"], 16), ec.SECP256R1()))


@pytest.mark.parametrize("vector", VECTORS["p256"]["signatures"], ids=["high s", "low s"])
def test_rfc_6979(vector: dict[str, str]) -> None:
    """Signatures are those of RFC 6979, with the lower of s and q - s."""
    key = published_p256()
    assert key.public_key.key.hex() == VECTORS["p256"]["public"]
    message, r, s = bytes.fromhex(vector["message"]), int(vector["r"], 16), int(vector["s"], 16)
    signature = key.sign(message)
    assert signature == r.to_bytes(32, "big") + min(s, Q - s).to_bytes(32, "big")
    verify_key(*key.public_key).verify(message, signature)


@pytest.mark.parametrize("vector", VECTORS["ed25519"], ids=["empty", "one byte"])
def test_rfc_8032(vector: dict[str, str]) -> None:
    """Ed25519 keys and signatures are those of RFC 8032."""
    key = SigningKey.from_seed("ed25519", bytes.fromhex(vector["secret"]))
    assert key.public_key.key.hex() == vector["public"]
    message = bytes.fromhex(vector["message"])
    assert key.sign(message).hex() == vector["signature"]
    verify_key("ed25519", bytes.fromhex(vector["public"])).verify(message, bytes.fromhex(vector["signature"]))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_signing_is_deterministic(algorithm: Algorithm) -> None:
    """The same bytes give the same 64 bytes, also from a key that was loaded again."""
    key = KEYS[algorithm]
    again = SigningKey.load(key.to_pem())
    assert key.sign(b"x") == key.sign(b"x") == again.sign(b"x") != key.sign(b"y")
    assert len(key.sign(b"x")) == SIGNATURE_SIZE


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_changed_byte_is_found(algorithm: Algorithm) -> None:
    """Altered signatures and altered messages raise."""
    key = verify_key(*KEYS[algorithm].public_key)
    signature = KEYS[algorithm].sign(b"message")
    for at in range(SIGNATURE_SIZE):
        changed = bytearray(signature)
        changed[at] ^= 1
        with pytest.raises(BadSignatureError):
            key.verify(b"message", bytes(changed))
    with pytest.raises(BadSignatureError) as raised:
        key.verify(b"massage", signature)
    assert raised.value.code == "signature.bad"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_other_lengths(algorithm: Algorithm) -> None:
    """A signature has 64 bytes and no others."""
    key = verify_key(*KEYS[algorithm].public_key)
    signature = KEYS[algorithm].sign(b"message")
    for other in (b"", signature[:-1], signature + b"\0", b"\0" + signature, signature[:32], signature * 2):
        with pytest.raises(BadSignatureError):
            key.verify(b"message", other)


def test_the_other_s_is_refused() -> None:
    """OpenSSL takes q - s too; we do not, so nobody makes a second valid message out of one."""
    key = KEYS["p256"]
    signature = key.sign(b"message")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    assert 0 < s <= Q // 2
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key.public_key.key)
    point.verify(encode_dss_signature(r, Q - s), b"message", ec.ECDSA(SHA256()))
    with pytest.raises(BadSignatureError):
        verify_key(*key.public_key).verify(b"message", signature[:32] + (Q - s).to_bytes(32, "big"))


def test_a_leading_zero_cannot_be_left_out() -> None:
    """63 bytes with the same numbers would be a second form of the same signature."""
    key = KEYS["p256"]
    messages = (b"%d" % number for number in itertools.count())
    message = next(each for each in messages if key.sign(each)[32] == 0)
    signature = key.sign(message)
    verify_key(*key.public_key).verify(message, signature)
    with pytest.raises(BadSignatureError):
        verify_key(*key.public_key).verify(message, signature[:32] + signature[33:])


def test_r_and_s_out_of_range() -> None:
    """Zero, the order and more, in either half, and a DER signature are refused."""
    key = verify_key(*KEYS["p256"].public_key)
    good = KEYS["p256"].sign(b"message")
    r, s = int.from_bytes(good[:32], "big"), int.from_bytes(good[32:], "big")
    most = 2**256 - 1
    for bad_r, bad_s in ((0, s), (r, 0), (0, 0), (Q, s), (r, Q), (most, s), (r, most), (r, Q // 2 + 1)):
        with pytest.raises(BadSignatureError):
            key.verify(b"message", bad_r.to_bytes(32, "big") + bad_s.to_bytes(32, "big"))
    with pytest.raises(BadSignatureError):
        key.verify(b"message", encode_dss_signature(r, s))


def test_a_greater_s_of_ed25519_is_refused() -> None:
    """S + L would be the same number modulo L: refused, as RFC 8032 wants."""
    signature = KEYS["ed25519"].sign(b"message")
    s = int.from_bytes(signature[32:], "little")
    assert s < L25519
    with pytest.raises(BadSignatureError):
        verify_key(*KEYS["ed25519"].public_key).verify(
            b"message", signature[:32] + (s + L25519).to_bytes(32, "little")
        )


def edwards_sum(first: tuple[int, int], second: tuple[int, int]) -> tuple[int, int]:
    """The sum of two points of Curve25519 in Edwards form (RFC 8032, 5.1.4)."""
    d = -121665 * pow(121666, -1, P25519) % P25519
    (x1, y1), (x2, y2) = first, second
    t = d * x1 * x2 * y1 * y2 % P25519
    x = (x1 * y2 + x2 * y1) * pow(1 + t, -1, P25519) % P25519
    y = (y1 * y2 + x1 * x2) * pow(1 - t, -1, P25519) % P25519
    return x, y


def small_order_points() -> list[tuple[int, int]]:
    """The eight points of small order: multiples of one of order eight."""
    d = -121665 * pow(121666, -1, P25519) % P25519
    for y in itertools.count(2):
        x_squared = (y * y - 1) * pow(d * y * y + 1, -1, P25519) % P25519
        x = pow(x_squared, (P25519 + 3) // 8, P25519)
        if (x * x - x_squared) % P25519:
            x = x * pow(2, (P25519 - 1) // 4, P25519) % P25519
        if (x * x - x_squared) % P25519:
            continue
        point, total = (x, y), (0, 1)
        for bit in bin(L25519)[2:]:
            total = edwards_sum(total, total)
            if bit == "1":
                total = edwards_sum(total, point)
        points = [(0, 1)]
        while (following := edwards_sum(points[-1], total)) != (0, 1):
            points.append(following)
        if len(points) == 8:
            return points
    raise AssertionError


def test_keys_of_small_order_are_refused() -> None:
    """All eight points of small order, with either sign bit: under the identity, anything verifies."""
    identity = (1).to_bytes(32, "little")
    ed25519.Ed25519PublicKey.from_public_bytes(identity).verify(identity + bytes(32), b"anything")
    points = small_order_points()
    assert len({y for _, y in points}) == 5
    for _, y in points:
        for sign in (0, 1):
            with pytest.raises(BadKeyError, match="small order"):
                verify_key("ed25519", (y | sign << 255).to_bytes(32, "little"))


def test_ed25519_keys_in_another_form_are_refused() -> None:
    """y of p and more would be a second form of a small y."""
    for y in range(P25519, 2**255):
        for sign in (0, 1):
            with pytest.raises(BadKeyError, match="not reduced"):
                verify_key("ed25519", (y | sign << 255).to_bytes(32, "little"))


def test_ed25519_keys_off_the_curve_are_refused() -> None:
    """About half of all y belong to no point; the others are taken."""
    taken = refused = 0
    for y in range(2, 60):
        try:
            verify_key("ed25519", y.to_bytes(32, "little"))
            taken += 1
        except BadKeyError:
            refused += 1
    assert min(taken, refused) > 15


def test_p256_keys_in_another_form_are_refused() -> None:
    """Uncompressed, hybrid, infinity, x of p and more, off the curve, other lengths."""
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), KEYS["p256"].public_key.key)
    whole = point.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    good = KEYS["p256"].public_key.key
    hybrid = bytes([6 + whole[-1] % 2]) + whole[1:]
    for other in (b"", b"\0", whole, hybrid, good[:-1], good + b"\0", b"\4" + good[1:], b"\2" + b"\xff" * 32):
        with pytest.raises(BadKeyError):
            verify_key("p256", other)
    on_curve = 0
    for x in range(40):
        with pytest.raises(BadKeyError):
            verify_key("p256", b"\2" + (P256 + x).to_bytes(32, "big"))
        try:
            verify_key("p256", b"\2" + x.to_bytes(32, "big"))
            on_curve += 1
        except BadKeyError:
            pass
    assert 5 < on_curve < 35


@pytest.mark.parametrize("algorithm", ["", "P256", "rsa", "hmac", "none", "x" * 10_000])
def test_unknown_algorithms(algorithm: str) -> None:
    """Only two algorithms exist, in one spelling; a key of one is none of the other."""
    with pytest.raises(BadKeyError) as raised:
        verify_key(algorithm, KEYS["ed25519"].public_key.key)
    assert raised.value.code == "key.refused"
    assert len(str(raised.value)) < 200
    with pytest.raises(BadKeyError):
        verify_key("p256", KEYS["ed25519"].public_key.key)
    with pytest.raises(BadKeyError):
        verify_key("ed25519", KEYS["p256"].public_key.key)


def test_keys_are_remembered_and_bounded() -> None:
    """The same bytes give the same parsed key, and a flood of keys does not fill the memory."""
    assert verify_key(*KEYS["p256"].public_key) is verify_key(*KEYS["p256"].public_key)
    assert 0 < (verify_key.cache_info().maxsize or 0) <= 10_000


INPUT = {
    "role": "auditor",
    "kind": "order",
    "ledger_id": b"\1" * 32,
    "epoch": 3,
    "schema_hash": b"\2" * 32,
    "message_hash": b"\3" * 32,
}


def test_what_is_signed() -> None:
    """The bytes are those of PROTOCOL 1.1, spelled out."""
    assert signature_input(**INPUT) == reference.signature_input(**INPUT)  # type: ignore[arg-type]
    assert signature_input(**INPUT).startswith(b"CSv1-sig")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"role": "ledger"},
        {"kind": "statement"},
        {"ledger_id": b"\4" * 32},
        {"epoch": 4},
        {"schema_hash": b"\4" * 32},
        {"message_hash": b"\4" * 32},
        {"role": "auditoro", "kind": "rder"},
        {"ledger_id": b"\1" * 31, "schema_hash": b"\1" + b"\2" * 32},
    ],
    ids=lambda change: "+".join(change),
)
def test_a_signature_counts_in_one_place_only(change: dict[str, object]) -> None:
    """Another role, kind, ledger, epoch, schema or message: it fails there, even with the same key."""
    key = KEYS["p256"]
    signature = key.sign(signature_input(**INPUT))  # type: ignore[arg-type]
    verify_key(*key.public_key).verify(signature_input(**INPUT), signature)  # type: ignore[arg-type]
    elsewhere = signature_input(**{**INPUT, **change})  # type: ignore[arg-type]
    with pytest.raises(BadSignatureError):
        verify_key(*key.public_key).verify(elsewhere, signature)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_partys_signature_in_the_others_place(algorithm: Algorithm) -> None:
    """The Ledger's signature over the very same bytes is not the Auditor's."""
    other = SigningKey.from_seed(algorithm, b"\x08" * 32)
    with pytest.raises(BadSignatureError):
        verify_key(*KEYS[algorithm].public_key).verify(b"statement", other.sign(b"statement"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_keys_load_from_pem_and_der(algorithm: Algorithm) -> None:
    """Both forms give the same key, by its seed or from its file."""
    key = KEYS[algorithm]
    pem = key.to_pem()
    der = serialization.load_pem_private_key(pem, None).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for data in (pem, der):
        assert SigningKey.load(data).public_key == key.public_key
    assert SigningKey.from_seed(algorithm, b"\7" * 32).public_key == key.public_key
    assert SigningKey.from_seed(algorithm, b"\x09" * 32).public_key != key.public_key


def test_no_other_algorithm_gives_a_key() -> None:
    """A misspelt name is no P-256."""
    with pytest.raises(BadKeyError, match="rsa"):
        SigningKey.from_seed("rsa", b"\7" * 32)  # type: ignore[arg-type]


def test_files_that_hold_no_key_of_ours() -> None:
    """Garbage, public, encrypted or other keys raise the one error, which tells nothing of the key."""
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    own = serialization.load_pem_private_key(KEYS["p256"].to_pem(), None)
    files = [
        b"",
        b"rubbish",
        b"-----BEGIN PRIVATE KEY-----\nrubbish",
        KEYS["p256"].to_pem()[:-40],
        own.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo),
        own.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"secret")),
        ec.generate_private_key(ec.SECP384R1()).private_bytes(pem, pkcs8, plain),
        rsa.generate_private_key(65537, 2048).private_bytes(pem, pkcs8, plain),
    ]
    for data in files:
        with pytest.raises(BadKeyError) as raised:
            SigningKey.load(data)
        assert raised.value.__cause__ is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_private_key_does_not_show(algorithm: Algorithm) -> None:
    """Neither repr nor str holds anything but the public key, and no attribute can be added."""
    seed = bytes(range(32))
    key = SigningKey.from_seed(algorithm, seed)
    public = key.public_key.key.hex()
    for text in (repr(key), str(key), f"{key}", repr([key])):
        assert text.replace(public, "").strip("[]") == f"SigningKey(of {algorithm}, )"
    assert not hasattr(key, "__dict__")


def test_a_seed_of_another_length() -> None:
    """A short seed is a mistake of ours and makes no weak key."""
    for algorithm in ALGORITHMS:
        with pytest.raises(AssertionError):
            SigningKey.from_seed(algorithm, b"short")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_verifying_lets_other_threads_run(algorithm: Algorithm) -> None:
    """Threads are never made to switch here, so the other one runs only while the lock is released."""
    key, message = verify_key(*KEYS[algorithm].public_key), bytes(2**24)
    signature = KEYS[algorithm].sign(message)
    started, seen = threading.Event(), []

    def verify() -> None:
        started.set()
        for _ in range(20):
            key.verify(message, signature)
        seen.append("verified")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1_000)
    try:
        thread = threading.Thread(target=verify)
        thread.start()
        started.wait()
        seen.append("other")
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert seen == ["other", "verified"]


def test_openssl_is_what_verifies() -> None:
    """Our DER is OpenSSL's: a signature that it refuses is refused here, and the reverse."""
    key = KEYS["p256"]
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key.public_key.key)
    for number in range(200):
        message = b"%d" % number
        signature = key.sign(message)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        point.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
        verify_key(*key.public_key).verify(message, signature)
        with pytest.raises(InvalidSignature):
            point.verify(encode_dss_signature(s, r), message, ec.ECDSA(SHA256()))
