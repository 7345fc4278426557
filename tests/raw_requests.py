"""Requests that the client library would never send, and what becomes of them."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, NamedTuple, Self

from protocol.canonical_json import dumps
from protocol.errors import CountersignError
from protocol.hashing import tagged
from protocol.requests import gather_requests
from protocol.signatures import request_id
from protocol.signing import SigningKey
from schemas.request import Envelope, RequestBody
from schemas.topics import RECEIPTS, REJECTIONS, REQUESTS
from storage.effects import END_OFFSET, Outgoing, Position
from streams.client_receipts import check_receipts, check_rejections
from streams.kafka_log import KafkaLogReader, KafkaLogWriter
from streams.log import publish
from streams.role_directory import load_key
from tests.pipeline import DEADLINE_S, Pipeline

MINUTE_MS = 60_000
_AGAIN_S = 1.2
"""Rejections of what nobody answers for are signed once a second at most, so it is sent again."""


class Became(NamedTuple):
    """What became of a request: its rejection's code, or the sequence and index of its outcome."""

    code: str
    place: tuple[int, int] | None = None


class RawClient:
    """Sends envelopes as they are, and watches `receipts` and `rejections` from when it was made."""

    def __init__(self, pipeline: Pipeline, entity: str = "admin") -> None:
        role = pipeline.home.load("client")
        self.epochs = role.epochs()
        self.key = load_key(pipeline.home.key_file(entity, 1))
        self.entity = entity
        self._writer = KafkaLogWriter(role.connection())
        self._reader = KafkaLogReader(role.connection())
        self._reader.seek([Position(topic, 0, END_OFFSET) for topic in (RECEIPTS, REJECTIONS)])
        self._became: dict[bytes, list[Became]] = {}

    def body(self, contract: str, argument: Any, **changes: Any) -> RequestBody:
        """A request's body as it should be, but for the changes."""
        now_ms = int(time.time() * 1000)
        body = RequestBody(
            format=1,
            ledger_id=self.epochs.ledger_id,
            entity=self.entity,
            key_version=1,
            nonce=secrets.token_bytes(16),
            contract=contract,
            contract_version=1,
            argument=dumps(argument),
            not_before_ms=0,
            expiry_ms=now_ms + MINUTE_MS,
            after=-1,
            keys=(),
        )
        return replace(body, **changes)

    def sign(self, body: RequestBody, key: SigningKey | None = None) -> Envelope:
        """The envelope of a request that is signed alone."""
        unsigned = gather_requests(body.ledger_id, [body.to_bytes()])
        return unsigned.envelopes((key or self.key).sign(unsigned.signed))[0]

    def send(self, value: bytes, *, partition: int = 0) -> None:
        """Write to `requests`."""
        assert publish(self._writer, [Outgoing(REQUESTS, partition, None, value)], lambda: False)

    def ask(self, envelope: Envelope, *, partition: int = 0) -> Became:
        """Send an envelope until it is answered."""
        return self.ask_all([envelope], partition=partition)[0]

    def ask_all(self, envelopes: Sequence[Envelope], *, partition: int = 0) -> list[Became]:
        """Send envelopes until all of them are answered; give the first answer of each."""
        deadline = time.monotonic() + DEADLINE_S
        waiting = list(envelopes)
        while waiting:
            assert time.monotonic() < deadline, f"{len(waiting)} requests get no answer"
            for envelope in waiting:
                self.send(envelope.to_message(), partition=partition)
            again = time.monotonic() + _AGAIN_S
            while waiting and (left_s := again - time.monotonic()) > 0:
                self.became(waiting[0], wait_s=left_s)
                waiting = [envelope for envelope in waiting if not self.became(envelope, wait_s=0)]
        return [self.became(envelope, wait_s=0)[0] for envelope in envelopes]

    def became(self, envelope: Envelope, *, wait_s: float) -> list[Became]:
        """All answers to a request that have come, waiting a while for the first one."""
        deadline = time.monotonic() + wait_s
        identities = (tagged("envelope", envelope.to_bytes()), request_id(envelope.body))
        while True:
            found = [became for identity in identities for became in self._became.get(identity, [])]
            left_ms = int((deadline - time.monotonic()) * 1000)
            if found or left_ms <= 0:
                return found
            self._receive(min(left_ms, 200))

    def _receive(self, wait_ms: int) -> None:
        messages, _ = self._reader.receive((RECEIPTS, REJECTIONS), 16, wait_ms)
        for message in messages:
            try:
                if message.topic == REJECTIONS:
                    for entry in check_rejections(message.value or b"", self.epochs):
                        self._note(entry.envelope_hash, Became(entry.code))
                else:
                    checked = check_receipts(message.value or b"", self.epochs)
                    for index, identity in enumerate(checked.request_ids()):
                        self._note(identity, Became("", (checked.statement.sequence, index)))
            except CountersignError:
                continue  # rubbish, which other tests send

    def _note(self, identity: bytes, became: Became) -> None:
        self._became.setdefault(identity, []).append(became)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        self._reader.close()
