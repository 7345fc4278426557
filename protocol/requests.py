"""Requests as both parties must judge them: opening an envelope, its validity in time, and its signature.

A client signs the root over the request_ids it sends together, so a signature is checked once per (root,
count, key).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from protocol import merkle
from protocol.canonical_json import NotCanonicalError, check, loads
from protocol.contracts.calls import Call
from protocol.contracts.names import contract_key, is_name, public_key_key
from protocol.errors import CountersignError
from protocol.hashing import HASH_SIZE
from protocol.limits import ENVELOPE_BYTES, Limits
from protocol.records import DamagedRecordError, Record, RecordKey
from protocol.signatures import SignatureCheck, request_batch_input, request_id
from schemas.epoch import PublicKey
from schemas.errors import MalformedMessageError
from schemas.request import Envelope, RecordName, RequestBody

FORMAT: Final = 1


class OpenedRequest(NamedTuple):
    """A request whose bytes parse; its signature is not checked yet.

    Attributes:
        envelope_bytes: the envelope's body as received.
        root: RFC 6962 root over the request_ids its client signed together.
    """

    envelope_bytes: bytes
    envelope: Envelope
    body: RequestBody
    request_id: bytes
    root: bytes

    def signature_check(self, key: PublicKey) -> SignatureCheck:
        """The check of the client's signature by the entity's key."""
        signed = request_batch_input(self.body.ledger_id, self.root, self.envelope.count)
        return SignatureCheck(key, signed, self.envelope.signature)


class RequestError(CountersignError):
    """A request that is turned away; `code` is one of the `request.*` or `argument.*` codes."""


def open_request(envelope_bytes: bytes, ledger_id: bytes, limits: Limits) -> OpenedRequest:
    """Parse an envelope and all that can be judged of it without records, time or keys.

    Raises:
        RequestError: `request.too_large`, `request.malformed`, `request.wrong_ledger`,
            `argument.not_canonical`.
    """
    if len(envelope_bytes) > limits.request_bytes + ENVELOPE_BYTES:
        raise RequestError("request.too_large", f"{len(envelope_bytes)} bytes")
    try:
        envelope = Envelope.from_bytes(envelope_bytes)
        body = RequestBody.from_bytes(envelope.body)
    except MalformedMessageError as error:
        raise RequestError("request.malformed", str(error)) from error
    _check_body(body, ledger_id, limits)
    _check_argument(body.argument)
    if envelope.count > limits.signed_together:
        raise RequestError("request.too_large", f"{envelope.count} requests signed together")
    identity = request_id(envelope.body)
    try:
        root = merkle.root_from_path(identity, envelope.index, envelope.count, envelope.path)
    except merkle.MerkleError as error:
        raise RequestError("request.malformed", str(error)) from error
    return OpenedRequest(envelope_bytes, envelope, body, identity, root)


def _check_body(body: RequestBody, ledger_id: bytes, limits: Limits) -> None:
    if body.format != FORMAT:
        raise RequestError("request.malformed", f"format {body.format}")
    if body.ledger_id != ledger_id:
        raise RequestError("request.wrong_ledger", body.ledger_id.hex())
    if len(body.argument) > limits.argument_bytes:
        raise RequestError(
            "request.too_large", f"argument of {len(body.argument)} bytes, of at most {limits.argument_bytes}"
        )
    if len(body.keys) > limits.records_per_request:
        raise RequestError("request.too_large", f"{len(body.keys)} advisory keys")
    if (
        body.expiry_ms < body.not_before_ms
        or body.after < -1
        or body.key_version < 1
        or body.contract_version < 1
    ):
        raise RequestError("request.malformed", "a number is out of its range")
    if not (is_name(body.entity, limits) and is_name(body.contract, limits)):
        raise RequestError("request.malformed", "the name of an entity or a contract")


def _check_argument(argument: bytes) -> None:
    try:
        check(argument)
    except NotCanonicalError as error:
        raise RequestError("argument.not_canonical", error.detail) from error


def check_times(body: RequestBody, ordered_at_ms: int, limits: Limits) -> None:
    """Judge a request's validity by the signed `ordered_at_ms` alone: `not_before <= ordered_at <= expiry <=
    ordered_at + 24 h`.

    Raises:
        RequestError: `request.not_yet_valid`, `request.expired`, `request.too_far_ahead`.
    """
    if ordered_at_ms < body.not_before_ms:
        raise RequestError(
            "request.not_yet_valid", f"valid from {body.not_before_ms}, ordered at {ordered_at_ms}"
        )
    if ordered_at_ms > body.expiry_ms:
        raise RequestError("request.expired", f"expired at {body.expiry_ms}, ordered at {ordered_at_ms}")
    if body.expiry_ms > ordered_at_ms + limits.expiry_ahead_ms:
        raise RequestError(
            "request.too_far_ahead", f"expires at {body.expiry_ms}, ordered at {ordered_at_ms}"
        )


def encode_request(body: RequestBody, now_ms: int, ledger_id: bytes, limits: Limits) -> bytes:
    """The bytes of a new request's body: `open_request` will have nothing against them, in whatever envelope, nor
    `check_times` at this moment.

    Args:
        body: its argument comes from `canonical_json.dumps`, and is not read again.

    Raises:
        RequestError: `request.too_large`, `request.malformed`, `request.wrong_ledger`, `request.not_yet_valid`,
            `request.expired`, `request.too_far_ahead`.
    """
    try:
        encoded = body.to_bytes()
    except (AttributeError, TypeError, ValueError) as error:
        raise RequestError("request.malformed", f"a field of another type or beyond its range: {error}") from error
    if len(encoded) > limits.request_bytes:
        raise RequestError("request.too_large", f"{len(encoded)} bytes, of at most {limits.request_bytes}")
    _check_body(body, ledger_id, limits)
    check_times(body, now_ms, limits)
    return encoded


class TouchedRecords(NamedTuple):
    """Records that requests touch, each once.

    Attributes:
        surely: the keys of who signed, and the contracts.
        probably: what the requests say themselves.
    """

    surely: tuple[RecordKey, ...]
    probably: tuple[RecordKey, ...]


def records_of(requests: Iterable[OpenedRequest]) -> TouchedRecords:
    """The records that requests will touch, to be fetched ahead."""
    signers: dict[tuple[str, int], None] = {}
    contracts: dict[tuple[str, int], None] = {}
    names: dict[RecordName, None] = {}
    for request in requests:
        body = request.body
        signers[body.entity, body.key_version] = None
        contracts[body.contract, body.contract_version] = None
        for name in body.keys:
            names[name] = None
    keys = [public_key_key(*signer) for signer in signers]
    keys += [contract_key(*contract) for contract in contracts]
    surely = dict.fromkeys(keys)
    return TouchedRecords(tuple(surely), tuple([key for key in map(RecordKey._make, names) if key not in surely]))


def call_of(request: OpenedRequest) -> Call:
    """A request as the execution sees it."""
    body = request.body
    return Call(
        request.request_id, body.entity, body.key_version, body.contract, body.contract_version, body.argument
    )


def public_key_of(record: Record) -> PublicKey | None:
    """The key in a registry record of our own store, whatever its status; None if there is none.

    Whether it was revoked is judged by the execution, which reads the record too, and looks at its hash first.

    Raises:
        DamagedRecordError: it holds no key.
    """
    if record.version == 0 or record.deleted:
        return None
    try:
        value: Any = loads(record.value)
        return PublicKey(str(value["algorithm"]), bytes.fromhex(value["public_key"]))
    except (NotCanonicalError, KeyError, TypeError, ValueError) as error:
        raise DamagedRecordError(f"a key's record is none: {error!r}") from error


class ClientSignatures:
    """The signature checks that requests need; what hundreds of them have in common is made once.

    Args:
        records: the keys of their entities among them.
    """

    def __init__(self, records: Mapping[RecordKey, Record]) -> None:
        self._records = records
        self._keys: dict[tuple[str, int], PublicKey | None] = {}
        self._checks: dict[tuple[PublicKey, bytes, int, bytes], SignatureCheck] = {}

    def check_of(self, request: OpenedRequest) -> SignatureCheck | None:
        """The check of a request, None if its entity has no such key.

        Raises:
            DamagedRecordError: the key's record holds none.
        """
        signer = request.body.entity, request.body.key_version
        if signer not in self._keys:
            record = self._records.get(public_key_key(*signer))
            self._keys[signer] = None if record is None else public_key_of(record)
        key = self._keys[signer]
        if key is None:
            return None
        envelope = request.envelope
        signed = (key, request.root, envelope.count, envelope.signature)
        check = self._checks.get(signed)
        if check is None:
            check = self._checks[signed] = request.signature_check(key)
        return check


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsignedBatch:
    """Request bodies that one signature will cover.

    Attributes:
        signed: the bytes to sign.
    """

    bodies: tuple[bytes, ...]
    request_ids: tuple[bytes, ...]
    root: bytes
    signed: bytes

    def envelopes(self, signature: bytes) -> tuple[Envelope, ...]:
        """The envelopes to send, once the batch is signed."""
        count = len(self.bodies)
        paths = merkle.paths(self.request_ids)
        return tuple(
            Envelope(body=body, index=index, count=count, path=path, signature=signature)
            for index, (body, path) in enumerate(zip(self.bodies, paths, strict=True))
        )


def gather_requests(ledger_id: bytes, bodies: Sequence[bytes]) -> UnsignedBatch:
    """Put request bodies under one Merkle root, in order."""
    identities = tuple(request_id(body) for body in bodies)
    assert all(len(identity) == HASH_SIZE for identity in identities)
    root = merkle.root(identities)
    signed = request_batch_input(ledger_id, root, len(bodies))
    return UnsignedBatch(bodies=tuple(bodies), request_ids=identities, root=root, signed=signed)
