"""Receipts checked after docs/wire-formats.md, sections 2 to 4, step by step, without a look at our verifier: what a
program in another language would do. Its codes are those of the page, so that both can be compared.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tests.reference import canonical_json, merkle
from tests.reference.documented_messages import (
    SCHEMA_HASHES,
    NotOfThisFormError,
    bounds_of_the_page,
    limits_of_the_page,
    read,
)
from tests.reference.hashing import signature_input, tagged

Fields = dict[str, Any]
_ZERO = bytes(32)
_Q = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_COPIED = ("ledger_id", "epoch", "sequence", "count", "ordered_at_ms", "kind")
_ASKED = ("entity", "key_version", "contract", "contract_version")


class RefusedError(Exception):
    """A receipt that does not hold; its text is the code of the step."""


def code_of(data: bytes, trusted: bytes, body: bytes | None, known: Sequence[bytes] = ()) -> str:
    """The code with which a receipt is refused; empty if it holds."""
    try:
        _check(data, trusted, body, known)
    except RefusedError as error:
        return str(error)
    return ""


def _need(holds: bool, code: str) -> None:
    if not holds:
        raise RefusedError(code)


def _parse(name: str, data: bytes, code: str) -> Fields:
    try:
        return read(name, data)
    except NotOfThisFormError:
        raise RefusedError(code) from None


def _check(data: bytes, trusted: bytes, body: bytes | None, known: Sequence[bytes]) -> None:
    _need(len(data) <= 8 * 1024 * 1024, "receipt.malformed")
    receipt = _parse("Receipt", data, "receipt.malformed")
    _need(receipt["format"] == 1, "receipt.malformed")
    genesis = _parse("Genesis", receipt["genesis"], "genesis.malformed")
    _need(tagged("genesis", [receipt["genesis"]]) == trusted, "genesis.untrusted")
    epochs = _newest(trusted, genesis, receipt["configurations"], known)
    statement = _statement(trusted, epochs, receipt["signed"])
    _place(receipt, statement)
    outcome = _parse("Outcome", receipt["outcome"], "receipt.malformed")
    _need(outcome["index"] == receipt["index"], "receipt.path")
    _need(tagged("output", [receipt["output"]]) == outcome["output_hash"], "receipt.output")
    if body is not None:
        _request(body, outcome, statement, epochs[statement["epoch"]])


def _newest(trusted: bytes, genesis: Fields, shown: Sequence[bytes], known: Sequence[bytes]) -> list[Fields]:
    in_file = list(_walk(trusted, genesis, shown))
    own = list(_walk(trusted, genesis, known)) if known else []
    common = min(len(in_file), len(own))
    _need(in_file[:common] == own[:common], "epoch.chain")
    return max(in_file, own, key=len)


def _walk(trusted: bytes, genesis: Fields, signed: Sequence[bytes]) -> Iterator[Fields]:
    """The configurations, each checked after the table."""
    _need(bool(signed), "epoch.chain")
    before: Fields = {}
    before_hash = _ZERO
    for epoch, data in enumerate(signed):
        outer = _parse("SignedConfiguration", data, "epoch.malformed")
        made = _parse("Configuration", outer["configuration"], "epoch.malformed")
        made["limits"] = _limits(made["limits"])
        _need(made["format"] == 1, "epoch.malformed")
        place = (made["ledger_id"], made["epoch"], made["previous_epoch_hash"])
        _need(place == (trusted, epoch, before_hash), "epoch.chain")
        n, b, c, k = (made[name] for name in "nbck")
        _need(len(made["replica_keys"]) == n <= 256 and min(b, c) >= 0, "epoch.malformed")
        _need(n - b - c == k > b and made["block_updates"] >= 1, "epoch.malformed")
        checksums = ("tree", "simple", "none") if b == 0 else ("tree", "simple")
        _need(made["checksum"] in checksums, "epoch.checksum")
        _need(made["window"] >= 1 and made["skew_ms"] >= 0, "epoch.malformed")
        keys = [made["auditor_key"], made["ledger_key"], *made["replica_keys"]]
        _need(all(keys.count(key) == 1 for key in keys), "epoch.keys")
        _need(epoch > 0 or keys[:2] == [genesis["auditor_key"], genesis["ledger_key"]], "epoch.keys")
        before_hash = tagged("configuration", [outer["configuration"]])
        _signed_by_both(trusted, made, before, outer, before_hash)
        before = made
        yield made


def _signed_by_both(trusted: bytes, made: Fields, before: Fields, outer: Fields, own_hash: bytes) -> None:
    for role in ("auditor", "ledger"):
        signed = signature_input(
            role, "configuration", trusted, made["epoch"], SCHEMA_HASHES["Configuration"], own_hash
        )
        _need(verifies(made[f"{role}_key"], signed, outer[f"{role}_signature"]), "epoch.signature")
        earlier = outer[f"previous_{role}_signature"]
        if before:
            _need(earlier is not None and verifies(before[f"{role}_key"], signed, earlier), "epoch.signature")
        else:
            _need(earlier is None, "epoch.signature")


def _limits(data: bytes) -> dict[str, int]:
    try:
        limits = canonical_json.loads(data)
    except canonical_json.RefusedError:
        raise RefusedError("epoch.malformed") from None
    _need(isinstance(limits, dict) and limits.keys() == limits_of_the_page(), "epoch.malformed")
    _need(all(type(limit) is int and limit >= 1 for limit in limits.values()), "epoch.malformed")
    _need(all(limits[less] <= limits[more] for less, more in bounds_of_the_page()), "epoch.malformed")
    return dict(limits)


def _statement(trusted: bytes, epochs: list[Fields], signed: Fields) -> Fields:
    """Steps 3 to 5."""
    statement = _parse("Statement", signed["statement"], "statement.malformed")
    header = _parse("OrderHeader", signed["header"], "statement.malformed")
    _need(statement["format"] == header["format"] == 1, "statement.malformed")
    _need(statement["ledger_id"] == trusted, "statement.ledger")
    epoch, sequence = statement["epoch"], statement["sequence"]
    _need(0 <= epoch < len(epochs), "epoch.unknown")
    cuts = [each["cut"]["sequence"] for each in epochs]
    _need(cuts[epoch] < sequence and (epoch + 1 == len(cuts) or sequence <= cuts[epoch + 1]), "epoch.cut")
    order_hash = tagged("order", [signed["header"]])
    _need(order_hash == statement["order_hash"], "statement.order")
    _need(all(header[name] == statement[name] for name in _COPIED), "statement.order")
    opened = tagged("commit", [signed["salt"], statement["outcomes_root"]])
    _need(opened == header["commitment"], "statement.commitment")
    own_hash = tagged("statement", [signed["statement"]])
    for role, kind, schema, message_hash, name in (
        ("auditor", "order", "OrderHeader", order_hash, "order_signature"),
        ("ledger", "statement", "LedgerEndorsement",
         tagged("ledger-endorsement", [own_hash + signed["order_signature"]]), "ledger_signature"),
        ("auditor", "statement", "AuditorEndorsement",
         tagged("auditor-endorsement", [own_hash + signed["salt"]]), "auditor_signature"),
    ):  # fmt: skip
        over = signature_input(role, kind, trusted, epoch, SCHEMA_HASHES[schema], message_hash)
        _need(verifies(epochs[epoch][f"{role}_key"], over, signed[name]), f"statement.{name}")
    return statement


def _place(receipt: Fields, statement: Fields) -> None:
    root = merkle.root_from_path(receipt["outcome"], receipt["index"], statement["count"], receipt["path"])
    _need(root == statement["outcomes_root"], "receipt.path")


def _request(body: bytes, outcome: Fields, statement: Fields, configuration: Fields) -> None:
    """Step 8."""
    _need(tagged("request", [body]) == outcome["request_id"], "receipt.request")
    asked = _parse("RequestBody", body, "receipt.request")
    _need(all(asked[name] == outcome[name] for name in _ASKED), "receipt.request")
    at, expiry = statement["ordered_at_ms"], asked["expiry_ms"]
    _need(statement["sequence"] > asked["after"], "receipt.time")
    _need(asked["not_before_ms"] <= at <= expiry <= at + configuration["limits"]["expiry_ahead_ms"], "receipt.time")


def verifies(key: Fields, data: bytes, signature: bytes) -> bool:
    """Whether a signature is of these bytes, in its one form. Of an Ed25519 key's small order others are tested."""
    try:
        if key["algorithm"] == "ed25519":
            ed25519.Ed25519PublicKey.from_public_bytes(key["key"]).verify(signature, data)
            return True
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        if key["algorithm"] != "p256" or len(key["key"]) != 33 or not (0 < r < _Q and 0 < s <= _Q // 2):
            return False
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key["key"])
        point.verify(encode_dss_signature(r, s), data, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True
