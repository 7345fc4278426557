"""A broker that drops, repeats, reorders, alters and truncates, or carries the messages of another ledger: what is
decided, dispersed and learned has the same bytes, and nobody is accused.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass

import pytest

from protocol.evidence import build
from protocol.evidence.verdicts import Finding
from protocol.evidence.verify import verify_evidence
from schemas.codec import Message
from schemas.order import Order
from schemas.piece import Piece
from schemas.receipt import Receipts
from schemas.rejection import Rejections
from schemas.request import Envelope
from schemas.statement import Decision, Result
from storage.effects import Outgoing
from tests.attacks.line import Line
from tests.gallery.hanging import GALLERY, engine
from tests.parties import REPLICAS
from tests.worlds import World

Q = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MESSAGES: dict[str, type[Message]] = {
    "requests": Envelope,
    "orders": Order,
    "results": Result,
    "decisions": Decision,
    "receipts": Receipts,
    "rejections": Rejections,
    "pieces": Piece,
}
TOPICS = ("orders", "results", "decisions", "receipts", "rejections", *(f"pieces.{i}" for i in range(REPLICAS)))
DECIDED = ("decisions", "receipts", *TOPICS[5:])
"""Where altered requests are turned away by name, `rejections` has more than on a good broker."""

Alteration = Callable[[str, bytes], Iterable[bytes]]


def signatures(message: object) -> Iterator[bytes]:
    """Every signature in a message."""
    for each in fields(message):  # type: ignore[arg-type]
        value = getattr(message, each.name)
        if is_dataclass(value):
            yield from signatures(value)
        elif "signature" in each.name:
            yield value


def other_s(topic: str, value: bytes) -> Iterator[bytes]:
    """The message with each of its signatures in the other form, which OpenSSL would take as well."""
    for signature in signatures(MESSAGES[topic.partition(".")[0]].from_message(value)):
        other = (Q - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
        assert value.count(signature) == 1
        yield value.replace(signature, signature[:32] + other)


def longer_varint(_topic: str, value: bytes) -> Iterator[bytes]:
    """The message with its first small number, after the frame, written in two bytes."""
    at = next(place for place in range(10, len(value)) if value[place] < 0x80)
    yield value[:at] + bytes((value[at] | 0x80, 0)) + value[at + 1 :]


def trailing_byte(_topic: str, value: bytes) -> Iterator[bytes]:
    """The message and one byte more."""
    yield value + b"\0"


def flipped_bits(_topic: str, value: bytes) -> Iterator[bytes]:
    """The message with single bits flipped, here and there."""
    rng = random.Random(value)
    for _ in range(8):
        at = rng.randrange(len(value))
        yield value[:at] + bytes((value[at] ^ 1 << rng.randrange(8),)) + value[at + 1 :]


ALTERATIONS: dict[str, Alteration] = {
    "the other s": other_s,
    "a longer varint": longer_varint,
    "a trailing byte": trailing_byte,
    "flipped bits": flipped_bits,
}


def serve(line: Line, send: Callable[[bytes], None]) -> None:
    """Ask for the same things as every other line does."""
    for turn in range(6):
        send(line.clients.put(f"k{turn % 2}", turn).envelope.to_message())
        line.run(300)
    send(line.clients.request("nowhere", {}).envelope.to_message())
    line.run(20_000)


@pytest.fixture(scope="module")
def honest() -> Line:
    """What everybody should have in the end."""
    line = Line(learns=True)
    serve(line, lambda value: line.send("requests", value))
    line.check_honest()
    assert len(line.views.requests) == 6
    return line


def check_same(line: Line, honest: Line, topics: Iterable[str] = TOPICS) -> None:
    """Require the same messages as on a good broker, beside what the broker made; and silence."""
    line.check_nobody_accused()
    assert line.halts() == {}
    for topic in topics:
        good = list(dict.fromkeys(honest.values(topic)))
        found = [value for value in dict.fromkeys(line.values(topic)) if value in good]
        assert found == good, topic
    assert line.views.requests == honest.views.requests
    assert line.views.versions == honest.views.versions
    assert line.records(line.auditor) == honest.records(honest.auditor)
    assert line.records(line.ledger) == honest.records(honest.ledger)


@pytest.mark.parametrize("name", ALTERATIONS)
@pytest.mark.parametrize("replaces", [False, True], ids=["before the message", "instead of it"])
def test_an_altered_message_changes_nothing(honest: Line, name: str, replaces: bool) -> None:
    """On every topic. An order or result that was replaced is sent again."""
    line, alter = Line(learns=True), ALTERATIONS[name]
    seen: set[bytes] = set()

    def bend(message: Outgoing) -> Iterable[Outgoing]:
        assert message.topic != "evidence", "nobody is accused"
        for value in alter(message.topic, message.value):
            yield message._replace(value=value)
        heals = message.topic in ("orders", "results")  # of others, a tail that is lost is another test
        if not (replaces and heals) or message.value in seen:
            yield message
        seen.add(message.value)

    for stage_name, stage in line.stages.items():
        if stage_name != "learner":
            stage.bend = bend

    def send(value: bytes) -> None:
        for altered in alter("requests", value):
            line.send("requests", altered)
        line.send("requests", value)

    serve(line, send)
    check_same(line, honest, DECIDED)


def test_what_is_repeated_and_reordered_changes_nothing(honest: Line) -> None:
    """Every message three times, and all that was ever said once more in between."""
    line = Line(learns=True)

    def bend(message: Outgoing) -> Iterable[Outgoing]:
        old = line.values(message.topic)
        yield message
        for value in reversed(old[-5:]):
            yield message._replace(value=value)
        yield message
        yield message

    for name, stage in line.stages.items():
        if name != "learner":
            stage.bend = bend
    serve(line, lambda value: line.send("requests", value))
    check_same(line, honest)


def test_messages_on_the_wrong_topic_change_nothing(honest: Line) -> None:
    """Every message on every topic, before it comes where it belongs."""
    line = Line(learns=True)

    def bend(message: Outgoing) -> Iterable[Outgoing]:
        for topic in TOPICS:
            if topic != message.topic:
                yield message._replace(topic=topic)
        yield message

    for name, stage in line.stages.items():
        if name != "learner":
            stage.bend = bend
    serve(line, lambda value: line.send("requests", value))
    check_same(line, honest)


@pytest.mark.parametrize("topic", ["orders", "results", "decisions"])
def test_a_lost_tail_is_healed(topic: str) -> None:
    """What the broker had acknowledged and lost is sent again, by whoever made it, with the same bytes."""
    line = Line(learns=True)
    for turn in range(4):
        line.put("a", turn)
    before = list(dict.fromkeys(line.values(topic)))
    line.log.lose_tail(topic, 0, 3)
    for turn in range(4):
        line.put("b", turn)
    line.run(60_000)
    line.check_nobody_accused()
    assert line.halts() == {}
    assert line.records(line.auditor) == line.records(line.ledger)
    assert len(line.views.requests) == 8
    if topic == "decisions":
        assert set(before) <= set(line.values(topic))


# --- Another ledger ---


def test_another_ledger_with_the_same_names_and_keys_is_refused() -> None:
    """Every message of its is refused on every topic: its genesis has another nonce."""
    other, line = Line(b"other", learns=True), Line(learns=True)
    for each in (other, line):
        each.put("a", 1)
    serve(other, lambda value: other.send("requests", value))
    before = {topic: line.values(topic) for topic in TOPICS}
    for topic in ("requests", *TOPICS):
        for value in other.values(topic):
            line.send(topic, value)
    line.run(10_000)
    line.check_nobody_accused()
    assert line.halts() == {}
    assert len(line.views.requests) == 1
    mine = [value for value in line.values("orders") if value not in other.values("orders")]
    assert mine == before["orders"]
    assert {entry.code for entry in line.rejections()} <= {"request.wrong_ledger"}


def test_a_genesis_taken_from_the_evidence_itself_is_not_trusted() -> None:
    """Evidence convicts under the ledger_id that its reader means, and under no other."""
    trusted = World(b"other").ledger_id
    for make in GALLERY.values():
        shown = make()
        verdict = verify_evidence(shown.evidence.to_bytes(), trusted, engine())
        assert verdict.finding is Finding.NOTHING
        assert verdict.culprit is None


def test_two_orders_of_two_ledgers_name_nobody() -> None:
    """One Auditor's key, one sequence, two ledgers: no contradiction."""
    other, line = World(b"other"), World()
    orders = [world.order(world.get("a"))[0] for world in (line, other)]
    for world in (line, other):
        verdict = verify_evidence(
            build.two_orders(world.epochs, *orders).to_bytes(), world.ledger_id, engine()
        )
        assert not verdict.convicts
