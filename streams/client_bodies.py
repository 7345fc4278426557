"""The bodies of a client's requests. What the parties would turn away for its form is refused here, before it is
signed: by their own rules and with their codes (`protocol.requests`), in the thread of whoever asks.
"""

import time
from collections.abc import Iterable
from typing import Any

from protocol.canonical_json import dumps
from protocol.configuration import Epochs
from protocol.requests import FORMAT, encode_request
from schemas.request import RecordName, RequestBody
from streams.client_hints import records_touched
from streams.client_nonces import Nonces


class RequestBodies:
    """Makes the bodies of one entity's requests to one ledger; for any number of threads."""

    def __init__(self, epochs: Epochs, *, entity: str, key_version: int) -> None:
        self._ledger_id, self._limits = epochs.ledger_id, epochs.limits
        self._entity, self._key_version = entity, key_version
        self._nonces = Nonces()

    def make(
        self,
        contract: str,
        argument: Any,
        *,
        version: int,
        keys: Iterable[tuple[str, str]] | None,
        expiry_ms: int,
        after: int,
    ) -> tuple[RequestBody, bytes]:
        """A body with a fresh nonce, and its bytes.

        Args:
            argument: a JSON value without floats.
            keys: records (namespace, key) the call will touch; None takes those that a generic contract will.
            expiry_ms: validity from now on.

        Raises:
            CountersignError: `argument.not_canonical`, and what `encode_request` raises.
        """
        now_ms = int(time.time() * 1000)
        if keys is None:
            names = records_touched(contract, argument, self._limits)
        else:
            names = tuple(RecordName(*key) for key in keys)
        body = RequestBody(
            format=FORMAT,
            ledger_id=self._ledger_id,
            entity=self._entity,
            key_version=self._key_version,
            nonce=self._nonces.take(),
            contract=contract,
            contract_version=version,
            argument=dumps(argument),
            not_before_ms=0,
            expiry_ms=now_ms + expiry_ms,
            after=after,
            keys=names,
        )
        return body, encode_request(body, now_ms, self._ledger_id, self._limits)
