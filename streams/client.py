"""The client: signs calls, sends them, and gives back verified receipts. Thousands may be in flight.

Rules:

1. What is submitted within the linger time is signed together: one signature over the Merkle root of the
   request_ids.
2. A request is sent again, byte-identical, until there is a receipt, a final rejection, or it has expired.
3. A body carries the greatest sequence this client has seen a receipt of (`after`), so that both parties
   answer for real time.
4. Two threads: one signs and sends, one receives and checks. Results come through futures.
5. Nobody waits in vain: what the broker refuses ends its request, and what ends one of the threads ends all of them.
   What a future calls back runs in one of the two threads, and may submit, which does not wait there, and close.
6. What the parties would turn away for its form alone is refused at the call, and harms no other request.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Condition, Thread, current_thread
from types import TracebackType
from typing import Any, Self

from protocol.configuration import Epochs
from protocol.errors import CountersignError
from protocol.hashing import tagged
from protocol.requests import gather_requests
from protocol.signing import SigningKey
from schemas.errors import MalformedMessageError
from schemas.request import Envelope
from schemas.topics import RECEIPTS, REJECTIONS, REQUESTS, request_partition
from storage.effects import END_OFFSET, Message, Outgoing, Position
from streams.client_bodies import RequestBodies
from streams.client_options import ClientOptions
from streams.client_receipts import ClientReceipt, check_outcome, check_receipts, check_rejections
from streams.client_requests import PendingRequest, PendingRequests
from streams.kafka_connection import KafkaConnection
from streams.kafka_log import KafkaLogReader, KafkaLogWriter
from streams.log import DeliveryFailure, LogRefusedError, LogStartLostError, LogUnavailableError
from streams.role_directory import RoleConfiguration, key_file, load_key

_RECEIVED_AT_ONCE = 16
_RECEIVE_MS = 100
_TAKEN_AT_ONCE = 500
"""What the sending thread takes at once, however few of it are signed together: between two looks at all that waits."""


class RejectedError(CountersignError):
    """The Auditor turned the request away; the code says why, and its signature that it did."""


class NoReceiptError(CountersignError):
    """The request expired without a receipt. It was not decided in time, or its receipt was lost on the
    way.
    """


class Client:
    """Sends requests of one entity to one ledger.

    Args:
        connection: to the ledger's topics.
        epochs: genesis and configurations, checked against the ledger_id this client trusts.
        entity, key_version, key: who signs.
        partitions: of the topic `requests`.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        epochs: Epochs,
        *,
        entity: str,
        key: SigningKey,
        key_version: int = 1,
        partitions: int = 4,
        options: ClientOptions | None = None,
    ) -> None:
        self.entity = entity
        self.epochs = epochs
        self._key = key
        self._partitions = partitions
        self._options = options = options or ClientOptions()
        self._limits = limits = epochs.limits
        self._signed_together = min(options.signed_together, limits.signed_together)
        self._expiry_ms = options.expiry_ms or limits.expiry_default_ms
        self._bodies = RequestBodies(epochs, entity=entity, key_version=key_version)
        self._after = -1
        self._closing = False
        self._process = os.getpid()
        self._changed = Condition()
        self._failure: CountersignError | None = None
        self._submitted: list[PendingRequest] = []
        self._in_hand: list[PendingRequest] = []  # of the sending thread, which signs them
        self._pending = PendingRequests()
        self._writer = KafkaLogWriter(connection, linger_ms=1)
        self._reader = KafkaLogReader(connection)
        self._seek_end()
        self._threads = [
            Thread(target=self._run, args=[self._send_loop], name="client-send", daemon=True),
            Thread(target=self._run, args=[self._receive_loop], name="client-receive", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @classmethod
    def open(
        cls, directory: Path | str, entity: str, *, key_version: int = 1, options: ClientOptions | None = None
    ) -> Self:
        """Make a client from its directory: `role.toml` and the entity's key file.

        Raises:
            CountersignError: `config.invalid`, or the ledger's genesis or epochs cannot be trusted.
        """
        place = Path(directory).expanduser()
        role = RoleConfiguration.load(place)
        key = load_key(key_file(place, entity, key_version))
        return cls(
            role.connection(),
            role.epochs(),
            entity=entity,
            key=key,
            key_version=key_version,
            partitions=role.partitions,
            options=options,
        )

    def _seek_end(self) -> None:
        """Listen from now on: answers come after what is asked."""
        deadline = time.monotonic() + 10
        while True:
            try:
                self._reader.seek([Position(topic, 0, END_OFFSET) for topic in (RECEIPTS, REJECTIONS)])
                return
            except LogUnavailableError:
                if time.monotonic() > deadline:
                    raise

    # --- What users call ---

    def submit(
        self,
        contract: str,
        argument: Any,
        *,
        version: int = 1,
        keys: Iterable[tuple[str, str]] | None = None,
        expiry_ms: int | None = None,
    ) -> "Future[ClientReceipt]":
        """Send a call; the future gives its verified receipt.

        Args:
            contract: its registered name.
            argument: a JSON value without floats.
            keys: records (namespace, key) the call will touch, fetched ahead; known for the generic
                contracts.
            expiry_ms: validity from now on.

        Raises:
            CountersignError: before anything is sent. `argument.not_canonical`; `request.too_large`, its argument,
                its keys or all of it; `request.malformed`, a name or a number that none can be;
                `request.too_far_ahead`, `request.expired`; `client.closed`. Whatever has ended the client before.
        """
        self.require_own_process()
        body, body_bytes = self._bodies.make(
            contract,
            argument,
            version=version,
            keys=keys,
            expiry_ms=self._expiry_ms if expiry_ms is None else expiry_ms,
            after=self._after,
        )
        pending = PendingRequest(body=body, body_bytes=body_bytes)
        with self._changed:
            while self._unanswered() >= self._options.in_flight and not self._is_ending() and not self._is_within():
                self._changed.wait()
            if self._failure is not None:
                raise CountersignError(self._failure.code, self._failure.detail)
            if self._closing:
                raise CountersignError("client.closed")
            self._submitted.append(pending)
            if len(self._submitted) in (1, self._signed_together):  # what the sending thread waits for
                self._changed.notify_all()
        return pending.future

    def execute(
        self, contract: str, argument: Any, *, version: int = 1, timeout_s: float | None = 60
    ) -> ClientReceipt:
        """Send a call and wait for its verified receipt.

        Raises:
            RejectedError, NoReceiptError: it was not decided.
            TimeoutError: no answer yet; the request may still be decided.
        """
        return self.submit(contract, argument, version=version).result(timeout_s)

    def close(self, *, timeout_s: float = 30) -> None:
        """Wait for what is in flight, then end; a second call does nothing, nor does a forked process's."""
        if os.getpid() != self._process:
            return
        deadline = time.monotonic() + (0 if self._is_within() else timeout_s)
        with self._changed:
            if self._closing:
                return
            while self._unanswered() and time.monotonic() < deadline:
                self._changed.wait(0.1)
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not current_thread():
                thread.join()
        self._give_up(CountersignError("client.closed", "without an answer; the request may be decided all the same"))
        self._writer.close()
        self._reader.close()

    def require_own_process(self) -> None:
        """Require that this is not a fork of the process that made the client: nothing would ever be sent.

        Raises:
            CountersignError: `client.closed`.
        """
        if os.getpid() != self._process:
            raise CountersignError("client.closed", f"only process {self._process}, which made it, can use it")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(timeout_s=30 if error is None else 0)

    # --- Both threads ---

    def _run(self, loop: Callable[[], None]) -> None:
        """The work of one thread; if that cannot go on, neither can the other."""
        try:
            loop()
        except CountersignError as error:
            self._failure = self._failure or error
        except BaseException as error:
            self._failure = self._failure or CountersignError("client.failed", repr(error))
            raise
        finally:
            if self._failure is not None:  # of either: this one may have signed more since the other gave up
                self._give_up(self._failure)

    def _give_up(self, error: CountersignError) -> None:
        """Tell all who wait that no answer will come."""
        with self._changed:
            unsent = [*self._in_hand, *self._submitted]
            self._in_hand, self._submitted = [], []
            self._changed.notify_all()
        for pending in unsent:
            pending.settle(CountersignError(error.code, error.detail))
        self._pending.settle_all(error)

    def _unanswered(self) -> int:
        """How many are waiting; while they are signed, some of them count twice."""
        return len(self._pending) + len(self._in_hand) + len(self._submitted)

    def _is_ending(self) -> bool:
        return self._closing or self._failure is not None

    def _is_within(self) -> bool:
        """Whether a future calls back: nothing goes on until that returns."""
        return current_thread() in self._threads

    def _tell_of_free_places(self) -> None:
        """After requests were settled, wake whoever waits for one of their places."""
        with self._changed:
            self._changed.notify_all()

    # --- The sending thread ---

    def _send_loop(self) -> None:
        while True:
            batch = self._next_batch()
            if batch is None:
                return
            most = self._signed_together
            for first in range(0, len(batch), most):
                self._sign(batch[first : first + most])
            self._in_hand = []
            # After all signing, which would spread them over many of the broker's batches, at half as much again.
            for pending in batch:
                self._send(pending)
            self._look_at_failures(self._writer.take_failures())
            self._send_again()

    def _next_batch(self) -> list[PendingRequest] | None:
        """What was submitted, after the linger time; empty when it is time to look after old requests,
        None at the end.
        """
        most = self._signed_together
        with self._changed:
            if not self._submitted and not self._is_ending():
                self._changed.wait(_RECEIVE_MS / 1000)
            if self._submitted and not self._is_ending():
                deadline = time.monotonic() + self._options.linger_ms / 1000
                while len(self._submitted) < most and (left := deadline - time.monotonic()) > 0:
                    self._changed.wait(left)
            if self._is_ending() and not self._submitted:
                return None
            taken = max(most, _TAKEN_AT_ONCE)
            self._in_hand, self._submitted = self._submitted[:taken], self._submitted[taken:]
            return self._in_hand

    def _sign(self, batch: Sequence[PendingRequest]) -> None:
        unsigned = gather_requests(self.epochs.ledger_id, [pending.body_bytes for pending in batch])
        envelopes = unsigned.envelopes(self._key.sign(unsigned.signed))
        now = time.monotonic()
        for pending, request_id, envelope in zip(batch, unsigned.request_ids, envelopes, strict=True):
            envelope_bytes = envelope.to_bytes()
            pending.request_id = request_id
            first = pending.body.keys[0] if pending.body.keys else None
            pending.key = first.key.encode() if first else self.entity.encode()
            pending.value = Envelope.avro.frame + envelope_bytes
            pending.envelope_hash = tagged("envelope", envelope_bytes)
            pending.put_off(now)
            self._pending.add(pending)

    def _send(self, pending: PendingRequest) -> None:
        partition = request_partition(pending.key, self._partitions)
        message = Outgoing(REQUESTS, partition, pending.key, pending.value)
        while not self._is_ending() and not self._writer.send_nowait(message, pending):
            self._look_at_failures(self._writer.take_failures(10))

    def _look_at_failures(self, failures: Iterable[DeliveryFailure]) -> None:
        """Send again soon what the broker did not get; what it refuses it will refuse again."""
        for request, retriable, text in failures:
            assert isinstance(request, PendingRequest)
            if retriable:
                request.send_again_at = 0.0
            else:
                self._pending.settle(request, LogRefusedError(f"{REQUESTS}: {text}"))
                self._tell_of_free_places()

    def _send_again(self) -> None:
        """Send again what has waited too long for an answer; give up what has expired."""
        now, now_ms = time.monotonic(), time.time() * 1000
        for pending in self._pending.due(now):
            if pending.body.expiry_ms + self._limits.clock_skew_ms < now_ms or pending.future.cancelled():
                self._pending.settle(pending, NoReceiptError("request.expired", "no receipt came"))
                self._tell_of_free_places()
                continue
            pending.put_off(now)
            self._send(pending)

    # --- The receiving thread ---

    def _receive_loop(self) -> None:
        while not self._is_ending():
            for message in self._receive():
                try:
                    self._take_receipts(message) if message.topic == RECEIPTS else self._take_rejections(
                        message
                    )
                except (CountersignError, MalformedMessageError):
                    continue  # nothing that both parties, or the Auditor, signed: anybody can write rubbish

    def _receive(self) -> Sequence[Message]:
        try:
            return self._reader.receive((RECEIPTS, REJECTIONS), _RECEIVED_AT_ONCE, _RECEIVE_MS)[0]
        except LogStartLostError:
            with suppress(LogUnavailableError):
                self._seek_end()  # what was missed comes again, as its requests are sent again
            return ()

    def _take_receipts(self, message: Message) -> None:
        checked = check_receipts(message.value or b"", self.epochs)
        mine = [
            (index, pending)
            for index, request_id in enumerate(checked.request_ids())
            if (pending := self._pending.of_id(request_id)) is not None
        ]
        if not mine:
            return
        self._after = max(self._after, checked.statement.sequence)  # before anybody has it, and sends more
        for index, pending in mine:
            try:
                receipt = check_outcome(checked, index, pending.request_id, pending.body)
            except CountersignError as error:
                self._pending.settle(pending, error)
            except MalformedMessageError:
                continue  # nobody signed that; the true one will come
            else:
                self._pending.settle(pending, receipt)
        self._tell_of_free_places()

    def _take_rejections(self, message: Message) -> None:
        for entry in check_rejections(message.value or b"", self.epochs):
            pending = self._pending.of_id(entry.request_id) or self._pending.of_envelope(entry.envelope_hash)
            if pending is not None and entry.final:
                self._pending.settle(pending, RejectedError(entry.code, f"request {pending.request_id.hex()}"))
            elif pending is not None and entry.code != "busy":
                self._pending.settle(pending, RejectedError(entry.code, "trying again later may help"))
        self._tell_of_free_places()
