"""Simulated clients: they sign, alone or together, send again until they have an answer, and check it.

Some are no better than they should be: they lie about what they have seen, name keys they do not have, and
sign a request anew in other company. None of it may harm anybody.
"""

import random
from dataclasses import dataclass, field

from protocol.canonical_json import dumps
from protocol.configuration import Epochs
from protocol.errors import CountersignError
from protocol.hashing import ZERO_HASH, tagged
from protocol.requests import gather_requests
from protocol.signing import SigningKey
from schemas.errors import MalformedMessageError
from schemas.rejection import RejectionEntry
from schemas.request import Envelope, RecordName, RequestBody
from schemas.topics import RECEIPTS, REJECTIONS, REQUESTS
from storage.effects import FIRST_OFFSET, Message, Outgoing, Position
from streams.client_receipts import CheckedReceipts, check_outcome, check_receipts, check_rejections
from streams.simulation.founding import key_of
from streams.simulation.requests import Ask, Asker
from streams.simulation.twin import require
from streams.simulation.world import World

_RESEND_FIRST_MS = 250
_RESEND_LONGEST_MS = 8_000


@dataclass(kw_only=True)
class Asked:
    """A request on its way.

    Attributes:
        body: as signed.
        envelopes: every form in which it was sent, framed.
        floor: the greatest sequence that any client had a receipt of when this was signed (I4).
        authentic: whether its signature is its entity's.
        sequence: of its receipt.
        code: of its final rejection.
    """

    request_id: bytes
    body: RequestBody
    ask: Ask
    partition: int
    envelopes: list[bytes]
    floor: int
    authentic: bool = True
    send_again_at_ms: int = 0
    wait_ms: int = _RESEND_FIRST_MS
    sequence: int | None = None
    code: str | None = None

    @property
    def is_answered(self) -> bool:
        """Whether its client knows what became of it."""
        return self.sequence is not None or self.code is not None


class Book:
    """Every request of a run, and what all clients have seen.

    Args:
        epochs: to check receipts with.
    """

    def __init__(self, epochs: Epochs) -> None:
        self.asked: dict[bytes, Asked] = {}
        self.newest_receipt = -1
        self._epochs = epochs
        self._receipts: dict[bytes, CheckedReceipts | None] = {}
        self._rejections: dict[bytes, tuple[RejectionEntry, ...]] = {}

    def receipts(self, data: bytes) -> CheckedReceipts | None:
        """A checked message of `receipts`, None if it is rubbish; each is checked once."""
        if data not in self._receipts:
            try:
                self._receipts[data] = check_receipts(data, self._epochs)
            except (CountersignError, MalformedMessageError):
                self._receipts[data] = None
        return self._receipts[data]

    def rejections(self, data: bytes) -> tuple[RejectionEntry, ...]:
        """The entries of a message of `rejections`, none if it is rubbish."""
        if data not in self._rejections:
            try:
                self._rejections[data] = check_rejections(data, self._epochs)
            except (CountersignError, MalformedMessageError):
                self._rejections[data] = ()
        return self._rejections[data]


@dataclass(frozen=True, kw_only=True)
class Character:
    """What a client is like.

    Attributes:
        requests: how many it makes.
        pause_ms: up to so long between two.
        brief: share of requests that expire soon.
        lies: share of requests that claim a receipt the client has not got.
        forges: share of requests signed with another's key.
        rotates: whether it changes its key once.
        gives_up: sends each request only once.
    """

    requests: int
    pause_ms: int
    brief: float = 0.0
    lies: float = 0.0
    forges: float = 0.0
    rotates: bool = False
    revokes: str = ""
    gives_up: bool = False


@dataclass(kw_only=True)
class Client:
    """One client."""

    entity: str
    world: World
    book: Book
    character: Character
    rng: random.Random
    key_version: int = 1
    after: int = -1
    made: int = 0
    pending: dict[bytes, Asked] = field(default_factory=dict)

    def __post_init__(self) -> None:
        epochs = self.world.founding.epochs
        self.key: SigningKey = self.world.founding.entities[self.entity]
        self._asker = Asker(self.entity, epochs.ledger_id, self.rng)
        self._by_envelope: dict[bytes, Asked] = {}
        self._writer = self.world.log.writer()
        self._reader = self.world.log.reader()
        self._reader.seek([Position(topic, 0, FIRST_OFFSET) for topic in (RECEIPTS, REJECTIONS)])
        self._next_at_ms = self.world.now_ms
        self._found_nothing = -1
        self._due_ms = 0

    # --- The scheduler's side ---

    @property
    def is_done(self) -> bool:
        """Whether it has asked for everything it wants."""
        return self.made >= self.character.requests

    def next_due_ms(self) -> int | None:
        """When it will do something by itself again."""
        dues = [asked.send_again_at_ms for asked in self.pending.values()]
        if not self.is_done:
            dues.append(self._next_at_ms)
        return min(dues, default=None)

    def move(self) -> bool:
        """Do what is due; False if nothing is."""
        log = self.world.log
        if self._found_nothing == log.changes and log.now_ms < self._due_ms:
            return False
        if self._read() or self._ask() or self._send_again():
            self._found_nothing = -1
            return True
        due_ms = self.next_due_ms()
        self._due_ms = log.now_ms + 1_000_000 if due_ms is None else due_ms
        self._found_nothing = -1 if log.away else log.changes
        return False

    # --- Asking ---

    def _ask(self) -> bool:
        if self.is_done or self.world.now_ms < self._next_at_ms:
            return False
        limit = min(self.character.requests - self.made, self.world.founding.limits.signed_together)
        count = self.rng.randint(1, min(3, limit))
        asks = [self._think() for _ in range(count)]
        self.made += count
        self._next_at_ms = self.world.now_ms + self.rng.randint(0, self.character.pause_ms)
        self._sign_and_send(asks)
        return True

    def _think(self) -> Ask:
        if self.character.rotates and self.key_version == 1 and self.rng.random() < 0.15:
            return self._asker.rotate(self.key_version)
        if self.character.revokes and self.rng.random() < 0.1:
            return self._asker.revoke(self.character.revokes, 1)
        return self._asker.next()

    def _sign_and_send(self, asks: list[Ask]) -> None:
        bodies = [self._body(ask) for ask in asks]
        authentic = self.rng.random() >= self.character.forges
        key = self.key if authentic else key_of("a stranger")
        for asked in self._signed(bodies, asks, key):
            asked.authentic = authentic
            self.book.asked[asked.request_id] = self.pending[asked.request_id] = asked
            self._send(asked, asked.envelopes[-1], asked.partition)

    def _body(self, ask: Ask) -> bytes:
        rng, limits = self.rng, self.world.founding.limits
        now_ms = self.world.now_ms
        brief = rng.random() < self.character.brief
        lie = rng.randint(1, 6) if rng.random() < self.character.lies else 0
        return RequestBody(
            format=1,
            ledger_id=self.world.founding.epochs.ledger_id,
            entity=self.entity,
            key_version=self.key_version,
            nonce=rng.randbytes(16),
            contract=ask.contract,
            contract_version=1,
            argument=dumps(ask.argument),
            not_before_ms=now_ms + rng.randint(0, 300) if rng.random() < 0.1 else 0,
            expiry_ms=now_ms + (rng.randint(300, 3000) if brief else limits.expiry_default_ms),
            after=self.after + lie,
            keys=tuple(RecordName(*key) for key in ask.keys),
        ).to_bytes()

    def _signed(self, bodies: list[bytes], asks: list[Ask], key: SigningKey) -> list[Asked]:
        unsigned = gather_requests(self.world.founding.epochs.ledger_id, bodies)
        envelopes = unsigned.envelopes(self.world.signatures.sign(key, unsigned.signed))
        return [
            Asked(
                request_id=request_id,
                body=RequestBody.from_bytes(body),
                ask=ask,
                partition=self.rng.randrange(self.world.partitions),
                envelopes=[envelope.to_message()],
                floor=self.book.newest_receipt,
            )
            for request_id, body, ask, envelope in zip(
                unsigned.request_ids, bodies, asks, envelopes, strict=True
            )
        ]

    def _send(self, asked: Asked, envelope: bytes, partition: int) -> None:
        self._by_envelope[tagged("envelope", Envelope.body_of(envelope))] = asked
        self._writer.send([Outgoing(REQUESTS, partition, self.entity.encode(), envelope)])
        asked.send_again_at_ms = self.world.now_ms + asked.wait_ms

    def _send_again(self) -> bool:
        moved = False
        for asked in list(self.pending.values()):
            if asked.send_again_at_ms > self.world.now_ms:
                continue
            moved = True
            if asked.body.expiry_ms + self.world.founding.limits.clock_skew_ms < self.world.now_ms:
                del self.pending[asked.request_id]
                continue
            asked.wait_ms = min(2 * asked.wait_ms, _RESEND_LONGEST_MS)
            asked.send_again_at_ms = self.world.now_ms + asked.wait_ms
            if not self.character.gives_up:
                self._send(asked, self._form_of(asked), asked.partition)
        return moved

    def _form_of(self, asked: Asked) -> bytes:
        """The same envelope, or now and then the same request signed anew, by itself."""
        if asked.authentic and self.rng.random() < 0.1:
            (alone,) = self._signed([asked.body.to_bytes()], [asked.ask], self._key_of(asked.body))
            asked.envelopes.append(alone.envelopes[0])
        return asked.envelopes[-1]

    def _key_of(self, body: RequestBody) -> SigningKey:
        return self.key if body.key_version == self.key_version else self.world.founding.entities[self.entity]

    # --- Answers ---

    def _read(self) -> bool:
        messages, alarms = self._reader.receive((RECEIPTS, REJECTIONS), 16, 0)
        for message in messages:
            if message.topic == RECEIPTS:
                self._take_receipts(message)
            else:
                self._take_rejections(message)
        return bool(messages or alarms)

    def _take_receipts(self, message: Message) -> None:
        checked = self.book.receipts(message.value or b"")
        if checked is None:
            return
        sequence = checked.statement.sequence
        for index, request_id in enumerate(checked.request_ids()):
            asked = self.pending.pop(request_id, None)
            if asked is None:
                continue
            receipt = check_outcome(checked, index, request_id, asked.body)
            require(sequence > asked.floor, f"I4: decided at {sequence}, sent after a receipt of {asked.floor}")
            asked.sequence = sequence
            self.after = max(self.after, sequence)
            self.book.newest_receipt = max(self.book.newest_receipt, sequence)
            if receipt.ok and asked.ask.contract == "sys.key.rotate":
                self.key_version += 1
                self.key = key_of(f"{self.entity} {self.key_version}")

    def _take_rejections(self, message: Message) -> None:
        for entry in self.book.rejections(message.value or b""):
            if entry.request_id == ZERO_HASH:
                asked = self._by_envelope.get(entry.envelope_hash)
            else:
                asked = self.pending.get(entry.request_id)
            if asked is not None and entry.final and asked.request_id in self.pending:
                asked.code = entry.code
                del self.pending[asked.request_id]
