"""Which evidence a differing result becomes, and what of the past it takes: the narrowest claim, and no more."""

from dataclasses import replace
from typing import Any

import pytest

from protocol.evidence import kinds
from protocol.evidence.decisions import select_decisions
from protocol.evidence.disputes import open_dispute
from protocol.evidence.verdicts import NothingProvenError
from protocol.limits import Limits
from protocol.requests import OpenedRequest
from schemas.outcome import Outcome, WritePin
from schemas.statement import Result, Statement, Update
from tests.gallery.hanging import A, alter_outcome, alter_pin, alter_read, started
from tests.gallery.outcomes import FALSE_HASH
from tests.worlds import World

HISTORY = "def execute(argument):\n    return history('object', 'a', argument)\n"


def disputed(world: World, *requests: OpenedRequest) -> tuple[Update, Result]:
    """A batch that both executed on their own records."""
    order, update = world.order(*requests)
    return update, world.commit(order, requests)


ALTERED: dict[str, tuple[dict[str, Any], str]] = {
    "another index": ({"index": 0}, "malformed"),
    "another request": ({"request_id": FALSE_HASH}, "request"),
    "another entity": ({"entity": "bob"}, "request"),
    "another key": ({"key_version": 2}, "request"),
    "another contract": ({"contract": "object.put"}, "request"),
    "another version of it": ({"contract_version": 2}, "request"),
    "nothing read": ({"reads": ()}, "versions"),
    "something written": ({"writes": (WritePin("object", "a", 3, False, FALSE_HASH),)}, "versions"),
    "another output": ({"output_hash": FALSE_HASH}, ""),
    "another status": ({"status": "failed"}, ""),
    "another code": ({"code": "contract.failed"}, ""),
    "another text": ({"fail_text": "no"}, ""),
}


@pytest.mark.parametrize(("changes", "claim"), ALTERED.values(), ids=ALTERED)
def test_the_claim_that_fits(changes: dict[str, Any], claim: str) -> None:
    """What can be shown by two leaves is not executed again; what cannot takes the decisions that were read."""
    world = started()
    update, result = disputed(world, world.get("b"), world.get("a"))
    lying = world.restate(result, alter_outcome(result.outcomes, 1, **changes))
    dispute = open_dispute(world.epochs, update, lying)
    kind = kinds.LEAF_CONTRADICTION if claim else kinds.EXECUTION
    assert (dispute.kind, dispute.claim, dispute.index) == (kind, claim, 1)
    assert dispute.needed_sequences == (frozenset() if claim else {1})
    assert dispute.needs_own_signature is not bool(claim)
    assert not dispute.needs_frontier


def test_a_read_takes_the_decision_that_wrote_it() -> None:
    """And none where the genesis did, or the batch itself."""
    world = started()
    update, result = disputed(world, world.put("a", 3), world.get("a"))
    for index, needed in ((0, frozenset({1})), (1, frozenset())):
        reads = alter_pin(result.outcomes[index], A, FALSE_HASH)
        lying = world.restate(result, alter_outcome(result.outcomes, index, reads=reads))
        dispute = open_dispute(world.epochs, update, lying)
        assert (dispute.claim, dispute.index, dispute.needed_sequences) == ("read", index, needed)


@pytest.mark.parametrize("left", [0, 1])
def test_fewer_outcomes_than_the_statement_counts(left: int) -> None:
    """A root over some of them, signed with the count of all: nothing is shown by it, and nothing breaks."""
    world = started()
    update, result = disputed(world, world.get("b"), world.get("a"))
    short = world.restate(result, result.outcomes[:left])
    assert Statement.from_bytes(short.statement).count == 2
    with pytest.raises(NothingProvenError, match="not those that the statement fixes"):
        open_dispute(world.epochs, update, short)


def test_a_decision_without_the_outcome_that_is_pinned() -> None:
    """One that is not the decision it is taken for: nothing is proved, and nothing breaks."""
    world = started()
    update, result = disputed(world, world.get("a"))
    reads = alter_pin(result.outcomes[0], A, FALSE_HASH)
    dispute = open_dispute(world.epochs, update, world.restate(result, alter_outcome(result.outcomes, 0, reads=reads)))
    assert dispute.build({1: world.decisions[1]}).kind == kinds.LEAF_CONTRADICTION
    with pytest.raises(NothingProvenError, match="has no outcome 0"):
        dispute.build({1: replace(world.decisions[1], outcomes=())})


def test_a_genesis_that_did_not_write() -> None:
    """An entry of our own that says so is damage of our own, and no error that nobody expects."""
    world = started()
    order, update = world.order(world.get("a"))
    result = world.commit(order, [world.get("a")])
    own = Outcome.from_bytes(update.outcomes[0])
    reads = tuple(pin._replace(writer_sequence=-1) if pin.key == "a" else pin for pin in own.reads)
    entries = alter_read(order, 0, A, writer_sequence=-1)
    mine = alter_outcome(update.outcomes, 0, reads=reads)
    lying = world.restate(result, alter_outcome(mine, 0, output_hash=FALSE_HASH))
    dispute = open_dispute(world.epochs, replace(update, entries=entries, outcomes=mine), lying)
    assert dispute.kind == kinds.EXECUTION
    with pytest.raises(NothingProvenError, match="genesis"):
        dispute.histories({})


@pytest.mark.parametrize("room", [0, 1, 2, 9])
def test_the_older_versions_that_a_contract_may_have_seen(room: int) -> None:
    """As many as it could read beside what it read, newest first and down to the first; none without `history`."""
    read = 3  # key, contract and "a", of which one registers no more
    limits = replace(Limits(), records_per_request=read + room)
    world = World(limits=limits)
    world.decide(world.request("sys.contract.register", {"contract": "h", "source": HISTORY, "version": 1}))
    for number in range(6):
        world.decide(world.put("a", number))
    update, result = disputed(world, world.request("h", 1), world.get("a"))
    assert [pin.version for pin in Outcome.from_bytes(update.outcomes[0]).reads][-1] == 6
    for index, versions in ((0, range(5, max(0, 5 - room), -1)), (1, ())):
        lying = world.restate(result, alter_outcome(result.outcomes, index, output_hash=FALSE_HASH))
        dispute = open_dispute(world.epochs, update, lying)
        messages = [world.decisions[sequence].to_message() for sequence in dispute.needed_sequences]
        found = dispute.histories(select_decisions(messages, world.epochs))
        assert [version for key, version in found if key == A] == list(versions)
        assert all(version > 0 for _, version in found)
