"""What whoever may write to the log can do: rubbish, old messages again, altered copies, forgeries.

Nobody here has a key, so none of it may change what is decided, stop anybody, or get anybody accused.
"""

import random
from collections.abc import Callable
from dataclasses import replace

from schemas.errors import MalformedMessageError
from schemas.request import Envelope
from schemas.topics import DECISIONS, ORDERS, RECEIPTS, REJECTIONS, REQUESTS, RESULTS, pieces_topic
from storage.effects import Message, Outgoing
from streams.simulation.founding import REPLICAS
from streams.simulation.world import World

_Q = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

TOPICS = (
    REQUESTS,
    ORDERS,
    RESULTS,
    DECISIONS,
    RECEIPTS,
    REJECTIONS,
    *(pieces_topic(index) for index in range(REPLICAS)),
)


def do_mischief(world: World, rng: random.Random) -> None:
    """Write something that should not be there."""
    rng.choice((_rubbish, _repeat, _repeat, _alter, _alter, _move, _forge))(world, rng)


def _partitions(world: World, topic: str) -> int:
    return world.partitions if topic == REQUESTS else 1


def _some_message(world: World, rng: random.Random, topic: str) -> Message | None:
    messages = world.log.messages(topic, rng.randrange(_partitions(world, topic)))
    return rng.choice(messages) if messages else None


def _insert(world: World, rng: random.Random, topic: str, key: bytes | None, value: bytes) -> None:
    partition = rng.randrange(_partitions(world, topic))
    world.log.insert(Outgoing(topic, partition, key, value))


def _rubbish(world: World, rng: random.Random) -> None:
    """Random bytes, perhaps with the frame of a real message."""
    topic = rng.choice(TOPICS)
    message = _some_message(world, rng, topic)
    start = message.value[:10] if message and message.value and rng.random() < 0.5 else b""
    _insert(world, rng, topic, None, start + rng.randbytes(rng.randrange(200)))


def _repeat(world: World, rng: random.Random) -> None:
    """An old message once more; a request perhaps in another partition."""
    topic = rng.choice((REQUESTS, *TOPICS))
    message = _some_message(world, rng, topic)
    if message and message.value:
        _insert(world, rng, topic, message.key, message.value)


def _move(world: World, rng: random.Random) -> None:
    """A message on a topic where it does not belong."""
    message = _some_message(world, rng, rng.choice(TOPICS))
    if message and message.value:
        _insert(world, rng, rng.choice(TOPICS), message.key, message.value)


def _alter(world: World, rng: random.Random) -> None:
    """A message with one byte changed, lengthened or cut, or with the other form of a signature in it."""
    topic = rng.choice(TOPICS)
    message = _some_message(world, rng, topic)
    if not message or not message.value:
        return
    alteration: Callable[[bytes, random.Random], bytes] = rng.choice((_flip, _lengthen, _cut, _other_s))
    _insert(world, rng, topic, message.key, alteration(message.value, rng))


def _flip(value: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(value))
    return value[:at] + bytes((value[at] ^ 1 << rng.randrange(8),)) + value[at + 1 :]


def _lengthen(value: bytes, rng: random.Random) -> bytes:
    return value + rng.randbytes(rng.randint(1, 3))


def _cut(value: bytes, rng: random.Random) -> bytes:
    return value[: rng.randrange(len(value))]


def _other_s(value: bytes, _rng: random.Random) -> bytes:
    """The last signature's other `s`, which verifies as well where it is let pass."""
    s = int.from_bytes(value[-32:], "big")
    return value[:-32] + (_Q - s).to_bytes(32, "big") if 0 < s < _Q else value + b"\0"


def _forge(world: World, rng: random.Random) -> None:
    """Somebody's request under a signature that is not his, perhaps before his own arrives."""
    message = _some_message(world, rng, REQUESTS)
    try:
        envelope = Envelope.from_bytes(Envelope.body_of(message.value or b"" if message else b""))
    except MalformedMessageError:
        return
    forged = replace(envelope, signature=rng.randbytes(64))
    _insert(world, rng, REQUESTS, None, forged.to_message())
