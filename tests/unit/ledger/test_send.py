"""What the Ledger sends: noted, then signed, then sent, and byte for byte the same however often."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ledger import send
from protocol.signatures import ledger_endorsement_input, statement_hash
from schemas.statement import Result, Statement
from storage.effects import Effect, Event, Note, Noted, Outbox, Outgoing, Publish, Published, ReadOutbox, Sign, Signed
from storage.machine import Steps
from storage.ports import OutboxEntry, Place
from tests.gallery.hanging import result_of
from tests.parties import key_of
from tests.unit.ledger.committing import kinds, of_kind
from tests.worlds import World


@pytest.fixture
def world() -> World:
    """With results of three sequences."""
    world = World()
    for value in range(3):
        world.decide(world.put("a", value))
    return world


def waiting(world: World, first: int = 0, last: int = 2) -> list[OutboxEntry]:
    """What an outbox holds of them."""
    return [
        OutboxEntry("result", s, replace(result_of(decision), ledger_signature=send.UNSIGNED).to_bytes())
        for s, decision in world.decisions.items()
        if first <= s <= last
    ]


def run(steps: Steps, kept: list[OutboxEntry]) -> Iterator[Effect]:
    """Every effect, each one performed."""
    answer: Event | None = None
    while True:
        try:
            effect = next(steps) if answer is None else steps.send(answer)
        except StopIteration:
            return
        yield effect
        match effect:
            case ReadOutbox():
                entries = tuple(entry for entry in kept if effect.first <= entry.number <= effect.last)
                answer = Outbox(now_ms=0, entries=entries)
            case Note():
                answer = Noted(now_ms=0)
            case Sign():
                answer = Signed(now_ms=0, signatures=tuple(map(key_of("ledger").sign, effect.messages)))
            case Publish():
                answer = Published(now_ms=0)
            case _:
                raise AssertionError(effect)


def test_results_are_noted_then_signed_then_sent(world: World) -> None:
    """All of them at once; what comes out are the Ledger's results, with its real signature."""
    effects = list(run(send.send_results(waiting(world), world.epochs), []))
    assert kinds(effects) == [Note, Sign, Publish]
    (publish,) = of_kind(effects, Publish)
    assert publish.messages == tuple(
        Outgoing("results", 0, None, result_of(world.decisions[sequence]).to_message()) for sequence in range(3)
    )


def test_what_is_noted_is_the_place_of_each_statement(world: World) -> None:
    """Chained to the statement before it, as the guard demands."""
    (note,) = of_kind(list(run(send.send_results(waiting(world, 1, 2), world.epochs), [])), Note)
    hashes = [statement_hash(world.updates[sequence].statement) for sequence in range(3)]
    assert note.places == (
        Place("statement", 0, 1, hashes[1], hashes[0]),
        Place("statement", 0, 2, hashes[2], hashes[1]),
    )


def test_the_signature_covers_the_auditors(world: World) -> None:
    """What is signed is the statement with the order signature that the Ledger acted upon."""
    (sign,) = of_kind(list(run(send.send_results(waiting(world, 0, 0), world.epochs), [])), Sign)
    result = result_of(world.decisions[0])
    signed = ledger_endorsement_input(world.ledger_id, 0, result.statement, result.order_signature)
    assert sign.messages == (signed,)


def test_each_result_is_signed_in_its_own_epoch(world: World) -> None:
    """One that is sent again after the epoch changed keeps its bytes."""
    world.begin_epoch()
    world.decide(world.put("a", 9))
    (note,) = of_kind(effects := list(run(send.send_results(waiting(world, 2, 3), world.epochs), [])), Note)
    assert [(place.epoch, place.sequence) for place in note.places] == [(0, 2), (1, 3)]
    (publish,) = of_kind(effects, Publish)
    results = [Result.from_message(message.value) for message in publish.messages]
    assert [Statement.from_bytes(result.statement).epoch for result in results] == [0, 1]
    assert results == [result_of(world.decisions[sequence]) for sequence in (2, 3)]


def test_nothing_is_noted_where_there_is_nothing(world: World) -> None:
    """An outbox that does not reach so far, and a range that is empty."""
    assert list(run(send.send_results((), world.epochs), [])) == []
    assert kinds(run(send.results(0, 2, world.epochs), [])) == [ReadOutbox]
    assert kinds(run(send.results(1, 0, world.epochs), waiting(world))) == []


@pytest.mark.parametrize(
    ("first", "last", "portions"),
    [
        (0, 0, [(0, 0)]),
        (0, 7, [(0, 7)]),
        (3, 11, [(3, 10), (11, 11)]),
        (5, 25, [(5, 12), (13, 20), (21, 25)]),
    ],
)
def test_results_are_read_in_portions(world: World, first: int, last: int, portions: list[tuple[int, int]]) -> None:
    """Memory is bounded, nothing is read twice, and nothing is left out."""
    reads = of_kind(list(run(send.results(first, last, world.epochs), [])), ReadOutbox)
    assert [(read.first, read.last) for read in reads] == portions
    assert {read.kind for read in reads} == {"result"}


def test_a_portion_is_sent_before_the_next_is_read(world: World) -> None:
    """As far back as the outbox holds them."""
    effects = kinds(run(send.results(0, 9, world.epochs), waiting(world, 1, 2)))
    assert effects == [ReadOutbox, Note, Sign, Publish, ReadOutbox]
