"""The committing machine and the decisions: what moves its window, and what it sends again while nothing does."""

from dataclasses import replace
from typing import Any

import pytest

from schemas.order import Entry
from schemas.statement import Decision, Statement
from storage.effects import Fetch, Halt, Note, Publish, ReadOutbox, Receive, Report, Sign, Verify
from tests.gallery.hanging import order_of, result_of
from tests.parties import key_of
from tests.unit.ledger.committing import COMMITTED, Committer, kinds, measured, of_kind

SENT_AGAIN = [ReadOutbox, Note, Sign, Publish]
FIRST_MS, LONGEST_MS = 1000, 30_000
"""When nothing has moved for how long it is sent again, at first and at last."""


@pytest.fixture
def committer() -> Committer:
    """With a window of three batches."""
    return Committer(window=3)


def endorsed(committer: Committer, sequence: int, signer: str = "auditor", **changes: Any) -> Decision:
    """A decision whose statement is another one, or endorsed by somebody else in the Auditor's place."""
    world = committer.world
    decision = world.decisions[sequence]
    statement = replace(Statement.from_bytes(decision.signed.statement), **changes).to_bytes()
    salt = decision.signed.salt
    signed = world.endorse(statement, order_of(world, sequence), result_of(decision), salt, key_of(signer))
    return replace(decision, signed=signed)


def unverified(committer: Committer) -> float:
    """How far the machine is ahead of the last decision that it verified, as its next batch shows."""
    committer.take(committer.decide())
    return measured(committer.asked)["gauge_unverified"]


# --- The window ---


def test_the_window_bounds_what_is_committed(committer: Committer) -> None:
    """W batches beyond the last verified decision, exactly; each decision makes room for one more."""
    orders = [committer.decide() for _ in range(6)]
    committer.take(*orders[:3])
    assert kinds(committer.take(*orders[3:])) == [Verify]
    assert committer.state.sequence == 2
    assert kinds(committer.learn(committer.world.decisions[0])) == [Verify, *COMMITTED]
    assert (committer.state.sequence, committer.state.verified) == (3, 0)
    effects = committer.learn(committer.world.decisions[1], committer.world.decisions[2])
    assert kinds(effects) == [Verify, *COMMITTED * 2]
    assert committer.values("results") == committer.expected(0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize("signer", ["ledger", "eve"])
def test_a_decision_that_the_auditor_did_not_sign_moves_nothing(committer: Committer, signer: str) -> None:
    """It is skipped and counted; the Auditor's own that comes later is taken."""
    orders = [committer.decide() for _ in range(4)]
    committer.take(*orders[:3])
    effects = committer.learn(endorsed(committer, 0, signer))
    assert kinds(effects) == [Verify, Report]
    assert measured(effects) == {"skipped": 1}
    assert kinds(committer.take(orders[3])) == [Verify]
    committer.learn(committer.world.decisions[0])
    assert (committer.state.sequence, committer.state.verified) == (3, 0)


def test_another_salt_than_the_signed_one_moves_nothing(committer: Committer) -> None:
    """The endorsement covers it."""
    committer.take(*[committer.decide() for _ in range(3)])
    decision = committer.world.decisions[0]
    assert measured(committer.learn(replace(decision, signed=decision.signed._replace(salt=bytes(32))))) == {
        "skipped": 1
    }
    assert unverified(committer) == 3


def test_decisions_are_verified_by_sequence(committer: Committer) -> None:
    """One that is ahead is held; with the one before it, both count."""
    committer.take(*[committer.decide() for _ in range(3)])
    decisions = committer.world.decisions
    committer.learn(decisions[2], decisions[1])
    committer.take(committer.decide())
    assert committer.state.sequence == 2
    committer.learn(decisions[0])
    assert (committer.state.sequence, committer.state.verified) == (3, 2)


def test_reading_goes_on_behind_the_first_message_of_a_decision(committer: Committer) -> None:
    """What comes after it in the log, if it came again later, is not passed over."""
    committer.take(*[committer.decide() for _ in range(2)])
    decisions = committer.world.decisions
    committer.learn(decisions[0], decisions[0], decisions[0])
    committer.take(committer.decide())
    assert committer.state.decisions == (1, 7)


def test_nothing_is_held_of_what_is_verified(committer: Committer) -> None:
    """A Ledger runs for years."""
    committer.take(*[committer.decide() for _ in range(3)])
    assert committer.held() == [0, 1, 2]
    committer.learn(committer.world.decisions[0], committer.world.decisions[2])
    assert committer.held() == [1, 2, 2]
    committer.learn(committer.world.decisions[1])
    assert committer.held() == []


def test_a_decision_far_ahead_is_not_held(committer: Committer) -> None:
    """Up to 2W beyond the last verified one, and not one more."""
    for _ in range(7):
        committer.decide()
    decisions = committer.world.decisions
    assert committer.learn(decisions[6]) == []
    assert kinds(committer.learn(decisions[5])) == [Verify]


def test_a_decision_that_was_verified_costs_nothing(committer: Committer) -> None:
    """However often it is sent again."""
    committer.commit(2)
    assert committer.learn(committer.world.decisions[0], committer.world.decisions[1]) == []


@pytest.mark.parametrize(("change", "value"), [("outcomes_root", b"\1" * 32), ("count", 2), ("ordered_at_ms", 1)])
def test_another_statement_under_the_auditors_signature_halts_it(
    committer: Committer, change: str, value: object
) -> None:
    """The store contradicts the log, and it may be the store's fault: nobody is accused."""
    committer.take(committer.decide())
    effects = committer.learn(endorsed(committer, 0, "auditor", **{change: value}))
    assert kinds(effects) == [Verify, Halt]
    assert committer.halt is not None
    assert committer.halt.code == "store.contradicts_log"
    assert "at sequence 0" in committer.halt.text
    assert committer.values("evidence") == []
    assert committer.state.verified == -1


# --- Orders that only decisions still hold ---


def test_an_order_is_taken_from_its_decision(committer: Committer) -> None:
    """Where a Ledger lost what it had made of it; then the decision counts as any other."""
    committer.deliver(committer.message("decisions", None))
    committer.commit(1)
    committer.decide()
    effects = committer.learn(committer.world.decisions[1])
    assert kinds(effects) == [Verify, *COMMITTED]
    assert committer.values("results") == committer.expected(0, 1)
    assert committer.state.orders == (1, 7), "nothing more was read on its own topic"
    assert committer.state.decisions == (2, 7), "nor was it verified yet"
    assert unverified(committer) == 1


def test_an_order_in_a_decision_needs_the_auditors_signature_of_its_own(committer: Committer) -> None:
    """The endorsement does not cover it."""
    committer.decide()
    decision = committer.world.decisions[0]
    other = decision.signed._replace(order_signature=bytes(63) + b"\1")
    effects = committer.learn(replace(decision, signed=other))
    assert measured(effects) == {"skipped": 1}
    assert committer.state.sequence == -1


def test_other_entries_than_the_ordered_ones_are_not_taken_from_a_decision(committer: Committer) -> None:
    """Whoever alters them leaves the signatures whole."""
    committer.decide(committer.world.put("a", 1))
    decision = committer.world.decisions[0]
    other = replace(Entry.from_bytes(decision.entries[0]), index=1).to_bytes()
    assert kinds(committer.learn(replace(decision, entries=(other,)))) == [Verify]
    assert committer.state.sequence == -1


def test_an_order_in_a_decision_beyond_the_window_is_left(committer: Committer) -> None:
    """It is held as a decision only, and comes again."""
    decisions = committer.world.decisions
    for _ in range(4):
        committer.decide()
    (verify,) = of_kind(committer.learn(decisions[3]), Verify)
    assert len(verify.checks) == 1
    (verify,) = of_kind(committer.learn(decisions[2]), Verify)
    assert len(verify.checks) == 2


# --- While nothing moves ---


def test_results_are_sent_again_while_nothing_moves(committer: Committer) -> None:
    """The same bytes, from the outbox: after a second, then after twice as long each time, up to half a minute."""
    committer.take(committer.decide(), committer.decide())
    for silence_ms in (FIRST_MS, 2000, 4000, 8000, 16_000, LONGEST_MS, LONGEST_MS):
        receive = committer.asked[-1]
        assert isinstance(receive, Receive)
        assert receive.wait_ms == silence_ms
        committer.published.clear()
        assert committer.wait(silence_ms - 1) == []
        assert kinds(committer.wait(1)) == SENT_AGAIN
        assert committer.values("results") == committer.expected(0, 1)


def test_only_what_is_not_verified_is_sent_again(committer: Committer) -> None:
    """A decision answers a result."""
    committer.take(*[committer.decide() for _ in range(3)])
    committer.learn(committer.world.decisions[0])
    committer.published.clear()
    committer.wait()
    assert committer.values("results") == committer.expected(1, 2)


def test_patience_begins_anew_whenever_something_moves(committer: Committer) -> None:
    """A decision or a batch: what was sent meanwhile gets its time."""
    committer.take(committer.decide(), committer.decide())
    committer.wait()
    committer.wait(1000)
    committer.learn(committer.world.decisions[0])
    assert committer.wait(FIRST_MS - 1) == []
    assert kinds(committer.wait(1)) == SENT_AGAIN
    committer.take(committer.decide())
    assert committer.wait(FIRST_MS - 1) == []
    assert kinds(committer.wait(1)) == SENT_AGAIN


def test_where_all_is_verified_nothing_is_sent(committer: Committer) -> None:
    """However long it is silent; and the first batch thereafter gets its whole time."""
    committer.commit(2)
    for _ in range(3):
        assert committer.wait(FIRST_MS) == []
        receive = committer.asked[-1]
        assert isinstance(receive, Receive)
        assert receive.wait_ms == FIRST_MS
    committer.now_ms += 60_000
    committer.take(committer.decide())
    assert committer.wait(FIRST_MS - 1) == []
    assert kinds(committer.wait(1)) == SENT_AGAIN


def test_an_order_that_comes_again_asks_for_its_result(committer: Committer) -> None:
    """The answer does not wait for the longer silence, but comes no more often than anything is sent again."""
    orders = [committer.decide(), committer.decide()]
    committer.take(*orders)
    for _ in range(3):
        committer.wait()
    assert committer.take(orders[0]) == []
    assert committer.wait(FIRST_MS - 1) == []
    assert kinds(committer.wait(1)) == SENT_AGAIN
    assert committer.wait(FIRST_MS) == [], "it was answered"
    committer.wait(1)
    assert kinds(committer.take(orders[1])) == SENT_AGAIN


def test_an_order_that_is_verified_asks_for_nothing(committer: Committer) -> None:
    """Its result was seen, as the decision shows."""
    orders = [committer.decide(), committer.decide()]
    committer.take(*orders)
    committer.learn(committer.world.decisions[0])
    committer.wait()
    committer.wait(FIRST_MS)
    assert committer.take(orders[0]) == []


def test_an_order_held_for_the_window_is_no_movement(committer: Committer) -> None:
    """Results must reach the Auditor all the more."""
    committer.take(*[committer.decide() for _ in range(3)])
    committer.now_ms += FIRST_MS - 1
    assert kinds(committer.take(committer.decide())) == [Verify]
    assert Fetch not in kinds(committer.wait(1))
    assert committer.values("results")[3:] == committer.expected(0, 1, 2)
