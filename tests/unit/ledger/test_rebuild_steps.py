"""The rebuilding machine, effect by effect: what it takes from `decisions`, and what it does not."""

from dataclasses import replace
from typing import Any

import pytest

from ledger.rebuild import REBUILT
from ledger.state import CommitState
from protocol.records import RecordKey
from schemas.order import Entry
from schemas.outcome import Outcome
from schemas.statement import Decision
from storage.effects import (
    END_OFFSET,
    FIRST_OFFSET,
    Apply,
    Fetch,
    Halt,
    Load,
    Position,
    ReadTail,
    Receive,
    Report,
    Seek,
    Verify,
)
from storage.ports import StoreCall
from tests.unit.ledger.committing import A, Committer, kinds, measured, of_kind
from tests.unit.ledger.rebuilding import Rebuilder, check_whole, records
from tests.worlds import MINUTE_MS, World


@pytest.fixture
def world() -> World:
    """Four decided batches: two writes of one record in a batch, a deletion, one that was empty, a registration."""
    world = World()
    world.decide(world.put("a", 1), world.put("b", 1), world.put("a", 2))
    world.decide(world.request("object.delete", {"key": "b"}), world.get("a"))
    world.decide()
    world.decide(world.enrol("bob"), world.put("b", 3))
    return world


@pytest.fixture
def rebuilder(world: World) -> Rebuilder:
    """With an empty store, and all of them in the log."""
    rebuilder = Rebuilder(world)
    rebuilder.publish(*world.decisions.values())
    return rebuilder


# --- What is taken ---


def test_a_rebuilt_store_is_that_of_whoever_committed(rebuilder: Rebuilder) -> None:
    """Record by record, and cell by cell: it goes on as if nothing had been lost."""
    world = rebuilder.world
    committer = Committer(world)
    for decision in [*world.decisions.values(), world.decide(world.get("b"))]:
        committer.learn(decision)
    rebuilder.publish(world.decisions[4])
    asked = rebuilder.run()
    check_whole(rebuilder, asked)
    mine, theirs = rebuilder.state, committer.state
    assert records(rebuilder.store) == records(committer.store)
    assert (mine.head, mine.order_hash, mine.ordered_at_ms) == (theirs.head, theirs.order_hash, theirs.ordered_at_ms)
    assert rebuilder.store.load().replay_entries == committer.store.load().replay_entries
    assert (mine.decisions, mine.orders) == ((5, 0), (FIRST_OFFSET, -1))


def test_what_was_decided_is_in_the_replay_guard(rebuilder: Rebuilder) -> None:
    """With its sequence; what expired before the last batch is not kept."""
    world = rebuilder.world
    world.now_ms += 5 * MINUTE_MS
    world.decide(world.put("a", 9))
    rebuilder.publish(world.decisions[4])
    calls = [apply.call for apply in of_kind(rebuilder.run(), Apply)]
    assert [[entry.sequence for entry in call.replay] for call in calls] == [[0, 0, 0], [1, 1], [], [3, 3], [4]]
    assert rebuilder.store.load().replay_entries == 1


def test_each_call_expects_what_the_one_before_it_left(rebuilder: Rebuilder) -> None:
    """So two processes cannot both rebuild."""
    states = [rebuilder.state]

    def note(effect: Apply) -> None:
        assert effect.call.expected_cells == states[-1].expected()
        states.append(CommitState.from_cells({"store_id": states[-1].store_id, **effect.call.cells}))
        rebuilder.meanwhile[Apply] = note

    rebuilder.meanwhile[Apply] = note
    check_whole(rebuilder, rebuilder.run())
    assert [state.sequence for state in states] == [-1, 0, 1, 2, 3]
    assert [state.decisions for state in states[1:]] == [(1, 0), (2, 0), (3, 0), (4, 0)]


def test_a_decision_costs_one_verification_one_fetch_and_one_call(rebuilder: Rebuilder) -> None:
    """Nothing is executed, and nothing is signed."""
    asked = rebuilder.run()
    each = [Verify, Fetch, Apply]
    start = [Load, ReadTail, Seek, Receive, Verify]
    assert kinds(asked) == [*start, Seek, Receive, *each * 4, Report, Halt]
    assert measured(asked) == {"gauge_rebuilt": 3}


def test_only_what_was_written_is_fetched(rebuilder: Rebuilder) -> None:
    """Each record once."""
    fetches = [fetch.keys for fetch in of_kind(rebuilder.run(), Fetch)]
    bob = {key for key in fetches[3] if key.namespace == "sys"}
    assert fetches[:3] == [(A, RecordKey("object", "b")), (RecordKey("object", "b"),), ()]
    assert set(fetches[3]) - bob == {RecordKey("object", "b")}


def test_it_goes_on_where_the_store_stands(rebuilder: Rebuilder) -> None:
    """An interrupted one reads no decision twice."""
    for number in range(3):

        def crash(effect: Apply) -> None:
            raise InterruptedError

        rebuilder.meanwhile[Apply] = lambda effect: rebuilder.meanwhile.update({Apply: crash})
        with pytest.raises(InterruptedError):
            rebuilder.run()
        assert rebuilder.state.sequence == number
    asked = rebuilder.run()
    assert of_kind(asked, Seek)[-1].positions == (Position("decisions", 0, 3, 0),)
    assert len(of_kind(asked, Apply)) == 1, "the last one is not forgotten"
    check_whole(rebuilder, asked)


def test_where_nothing_is_left_to_read_nothing_is_read(rebuilder: Rebuilder) -> None:
    """Its end is where the store stands: it does not wait for more."""
    rebuilder.run()
    asked = rebuilder.run()
    assert kinds(asked) == [Load, ReadTail, Seek, Receive, Verify, Seek, Halt]
    check_whole(rebuilder, asked)


@pytest.mark.parametrize("count", [8, 9, 16, 17])
def test_long_logs_are_read_in_portions(world: World, count: int) -> None:
    """Eight at a time, to the very end, whether the last portion is full or not."""
    rebuilder = Rebuilder(world)
    for value in range(count - len(world.decisions)):
        world.decide(world.put("a", value))
    rebuilder.publish(*world.decisions.values())
    check_whole(rebuilder, rebuilder.run())


def test_a_log_that_lost_its_tail_meanwhile_is_read_to_its_new_end(rebuilder: Rebuilder) -> None:
    """What is gone is not waited for."""

    def lose_after_seek(effect: Seek) -> None:
        rebuilder.meanwhile[Seek] = lambda effect: rebuilder.log.lose_tail("decisions", 0, 2)

    rebuilder.meanwhile[Seek] = lose_after_seek
    asked = rebuilder.run()
    assert asked[-1] == Halt(code=REBUILT, text="2 batches are back in the store, up to sequence 1")
    assert len(of_kind(asked, ReadTail)) == 2


# --- What is not taken ---


def test_rubbish_and_repetitions_are_passed_over(world: World) -> None:
    """Before the first decision, in between, and behind the last."""
    rebuilder = Rebuilder(world)
    decisions = world.decisions
    other = World(b"other")
    foreign = other.decide(other.put("a", 1))
    rebuilder.publish(b"", b"rubbish", foreign, decisions[0], decisions[0], b"rubbish", decisions[2], decisions[1])
    rebuilder.publish(foreign, decisions[2], decisions[1], decisions[3], b"rubbish", decisions[2])
    check_whole(rebuilder, rebuilder.run())
    assert rebuilder.state.decisions == (12, 0)


def with_signed(decision: Decision, **parts: bytes) -> Decision:
    return replace(decision, signed=decision.signed._replace(**parts))


def altered(world: World, name: str) -> Decision:
    """The decision of sequence 1, with something that is not under the signatures, or not signed."""
    decision = world.decisions[1]
    match name:
        case "outcomes":
            outcome = replace(Outcome.from_bytes(decision.outcomes[0]), fail_text="x").to_bytes()
            return replace(decision, outcomes=(outcome, decision.outcomes[1]))
        case "entries":
            entry = replace(Entry.from_bytes(decision.entries[0]), index=3).to_bytes()
            return replace(decision, entries=(entry, decision.entries[1]))
        case "no entries":
            return replace(decision, entries=())
        case "values":
            return replace(decision, values=(*decision.values, b"1"))
        case "salt":
            return with_signed(decision, salt=bytes(32))
        case "predecessor":
            return world.decisions[2]
    return with_signed(decision, **{name: bytes(63) + b"\1"})


ALTERED = ["outcomes", "entries", "no entries", "values", "salt", "predecessor"]
SIGNATURES = ["order_signature", "ledger_signature", "auditor_signature"]


@pytest.mark.parametrize("name", ALTERED + SIGNATURES)
def test_an_altered_decision_is_passed_over(world: World, name: str) -> None:
    """Anybody can write one; the good one behind it is taken, and without it nothing above it."""
    rebuilder = Rebuilder(world)
    decisions = world.decisions
    rebuilder.publish(decisions[0], altered(world, name), decisions[2])
    assert rebuilder.run()[-1] == Halt(code=REBUILT, text="1 batches are back in the store, up to sequence 0")
    rebuilder.publish(decisions[1], decisions[2], decisions[3])
    check_whole(rebuilder, rebuilder.run())


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_log_begins_with_a_decision_that_all_signed(world: World, name: str) -> None:
    """A forged one of the beginning must not hide that it is gone."""
    rebuilder = Rebuilder(world)
    forged = with_signed(world.decisions[0], **{name: bytes(63) + b"\1"})
    broken = with_signed(world.decisions[0], salt=bytes(32))
    rebuilder.publish(forged, broken, world.decisions[2])
    sought: list[Position] = []

    def look(effect: Seek) -> None:
        sought.extend(effect.positions)
        if sought[-1].offset == END_OFFSET:
            raise InterruptedError
        rebuilder.meanwhile[Seek] = look

    rebuilder.meanwhile[Seek] = look
    with pytest.raises(InterruptedError):
        rebuilder.run()
    assert [position.offset for position in sought] == [FIRST_OFFSET, FIRST_OFFSET, END_OFFSET], "it waits for more"
    assert rebuilder.state.sequence == -1


def test_values_that_both_parties_did_not_sign_are_damage(world: World) -> None:
    """The log was altered where no signature is, and its record hash shows it."""
    rebuilder = Rebuilder(world)
    decision = world.decisions[0]
    rebuilder.publish(replace(decision, values=(b"7", *decision.values[1:])))
    asked = rebuilder.run()
    assert isinstance(asked[-1], Halt)
    assert asked[-1].code == "store.damaged"
    assert rebuilder.state.sequence == -1


# --- Others on the same store ---


def test_whoever_is_overtaken_goes_on_behind_the_other(rebuilder: Rebuilder) -> None:
    """The store refuses its call; it loads again, and comes to the same end."""
    twin = Rebuilder(rebuilder.world)
    twin.log, twin.reader, twin.store = rebuilder.log, rebuilder.log.reader(), rebuilder.store

    def overtake(effect: Apply) -> None:
        rebuilder.meanwhile[Apply] = lambda effect: check_whole(twin, twin.run())

    rebuilder.meanwhile[Apply] = overtake
    asked = rebuilder.run()
    assert measured(asked)["refused_cell"] == 1
    assert len(of_kind(asked, Load)) == 2
    check_whole(rebuilder, asked)


def test_records_that_another_one_wrote_meanwhile_are_no_damage(rebuilder: Rebuilder) -> None:
    """They chain to what the other one stored: the store is loaded again."""
    twin = Rebuilder(rebuilder.world)
    twin.log, twin.reader, twin.store = rebuilder.log, rebuilder.log.reader(), rebuilder.store
    rebuilder.meanwhile[Fetch] = lambda effect: check_whole(twin, twin.run())
    asked = rebuilder.run()
    assert len(of_kind(asked, Load)) == 3
    check_whole(rebuilder, asked)


@pytest.mark.parametrize("damage", [{"version": 2}, {"record_hash": bytes(32)}])
def test_a_damaged_record_of_its_own_ends_it(rebuilder: Rebuilder, damage: dict[str, Any]) -> None:
    """Nobody else is there, so it is the store: it does not try again for ever."""
    rebuilder.publish(*rebuilder.world.decisions.values())
    rebuilder.log.lose_tail("decisions", 0, 7)
    rebuilder.run()
    key = RecordKey("object", "b")
    record = rebuilder.store.fetch((key,)).records[key]
    rebuilder.store.overwrite(key, record._replace(**damage))
    rebuilder.publish(*rebuilder.world.decisions.values())
    asked = rebuilder.run()
    assert kinds(asked)[-3:] == [Fetch, Load, Halt]
    assert isinstance(asked[-1], Halt)
    assert asked[-1].code == "store.damaged"
    assert rebuilder.state.sequence == 0


def test_moving_the_position_is_a_call_like_any_other(rebuilder: Rebuilder) -> None:
    """Where the log's start has passed it; refused, it is looked again."""
    rebuilder.run()
    rebuilder.publish(*rebuilder.world.decisions.values())
    rebuilder.log.expire("decisions", 0, 6)

    def stop_for_now(effect: Apply) -> None:
        other = replace(rebuilder.state, epoch=1).cells()["epoch"]
        epoch = rebuilder.state.cells()["epoch"]
        rebuilder.store.apply(StoreCall(expected_cells={}, cells={"epoch": other}))
        rebuilder.meanwhile[Load] = lambda effect: restore(epoch)

    def restore(epoch: bytes) -> None:
        rebuilder.store.apply(StoreCall(expected_cells={}, cells={"epoch": epoch}))

    rebuilder.meanwhile[Apply] = stop_for_now
    asked = rebuilder.run()
    assert len(of_kind(asked, Apply)) == 2
    (moved,) = of_kind(asked, Apply)[1:]
    assert CommitState.from_cells({"store_id": b"l", **moved.call.cells}).decisions == (6, -1)
    assert rebuilder.state.decisions == (6, -1)
    check_whole(rebuilder, asked)
