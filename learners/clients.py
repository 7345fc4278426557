"""Client signatures, for a learner that is asked to check them too: every request bears its entity's own.

The keys are records of the journal itself, so the learner follows their versions in sequence, the genesis first.
A request must be signed by the key that its body names, as that key was before the request; a signature that
covers many requests is checked once per update. Where one fails, both parties have signed what no client did.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Self

from learners.journal import FollowedUpdate
from learners.updates import UpdateError
from protocol.canonical_json import NotCanonicalError, dumps, loads
from protocol.configuration import Epochs
from protocol.contracts.names import SYS, public_key_key
from protocol.limits import Limits
from protocol.requests import OpenedRequest, RequestError, open_request
from protocol.signatures import SignatureCheck
from schemas.epoch import PublicKey
from schemas.errors import MalformedMessageError
from schemas.leaves import envelope_of
from schemas.slices import OutcomeSlices

_PREFIX = "entity/"
_INFIX = "/key/"


class ClientKeys:
    """The public keys of all entities, as the journal has them.

    Args:
        ledger_id: of the ledger.
        limits: that requests keep.
        values: canonical JSON of each key's record, by the record's key in namespace `sys`.
    """

    def __init__(self, ledger_id: bytes, limits: Limits, values: dict[str, bytes]) -> None:
        self._ledger_id = ledger_id
        self._limits = limits
        self._values = values

    @classmethod
    def of_genesis(cls, epochs: Epochs) -> Self:
        """The keys that a ledger begins with."""
        keys = cls(epochs.ledger_id, epochs.limits, {})
        for record in epochs.genesis.records:
            keys._follow_write(record.namespace, record.key, record.value)
        return keys

    @classmethod
    def from_bytes(cls, data: bytes, epochs: Epochs) -> Self:
        """The reverse of `to_bytes`, for a learner's own views."""
        values: Any = loads(data)
        return cls(epochs.ledger_id, epochs.limits, {key: value.encode() for key, value in values.items()})

    def to_bytes(self) -> bytes:
        """What a learner's position keeps of them."""
        return dumps({key: value.decode() for key, value in self._values.items()})

    def checks(self, followed: Iterable[FollowedUpdate]) -> tuple[SignatureCheck, ...]:
        """The signatures that the clients of these updates gave, to be verified; follows their keys.

        Raises:
            UpdateError: a request cannot be read, is not its outcome's, or names no valid key.
        """
        found: dict[SignatureCheck, None] = {}
        try:
            for update, _, outcomes in followed:
                values = iter(update.values)
                for entry, outcome in zip(update.entries, outcomes, strict=True):
                    request = open_request(envelope_of(entry), self._ledger_id, self._limits)
                    if outcome.request_id != request.request_id:
                        raise UpdateError("an outcome is not its entry's")
                    found[request.signature_check(self._key_of(request))] = None
                    self._follow_writes(outcome, values)
        except (MalformedMessageError, RequestError) as error:
            raise UpdateError(f"a request that no client made: {error}") from error
        return tuple(found)

    def _key_of(self, request: OpenedRequest) -> PublicKey:
        """The key that must have signed a request."""
        name = public_key_key(request.body.entity, request.body.key_version).key
        try:
            value: Any = loads(self._values[name])
            if value["status"] != "active":
                raise UpdateError(f"{name} is {value['status']}")
            return PublicKey(value["algorithm"], bytes.fromhex(value["public_key"]))
        except (KeyError, TypeError, ValueError, NotCanonicalError) as error:
            raise UpdateError(f"{name} is no key") from error

    def _follow_writes(self, outcome: OutcomeSlices, values: Iterator[bytes]) -> None:
        for namespace, key, *_ in outcome.writes:
            self._follow_write(namespace.decode(), key.decode(), next(values))

    def _follow_write(self, namespace: str, key: str, value: bytes) -> None:
        if namespace == SYS and key.startswith(_PREFIX) and _INFIX in key:
            if value:
                self._values[key] = value
            else:
                self._values.pop(key, None)
