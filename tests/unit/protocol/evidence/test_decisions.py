"""Finding earlier decisions among messages that nobody has checked."""

from dataclasses import replace

import pytest

from protocol.evidence.contradictions import VersionRead
from protocol.evidence.decisions import WrittenBatch, decision_at, select_decisions
from protocol.evidence.verdicts import NothingProvenError
from protocol.hashing import tagged
from tests.gallery.hanging import A, alter_outcome, started
from tests.worlds import World


def test_decisions_are_selected_by_their_signatures() -> None:
    """Of messages that claim to be decisions, the authentic ones with all their content are taken."""
    world = started()
    decision = world.decisions[0]
    altered = [
        replace(decision, values=(b"9", *decision.values[1:])),
        replace(decision, values=decision.values[:1]),
        replace(decision, values=(*decision.values, b"1")),
        replace(decision, outcomes=decision.outcomes[:1]),
        replace(decision, outcomes=alter_outcome(decision.outcomes, 0, output_hash=tagged("output", b"another"))),
        replace(decision, entries=decision.entries[:1]),
        replace(decision, signed=decision.signed._replace(ledger_signature=decision.signed.auditor_signature)),
    ]
    rubbish = [each.to_message() for each in altered] + [b"", b"rubbish", decision.to_bytes()]
    assert select_decisions(rubbish, world.epochs) == {}
    found = select_decisions([*rubbish, *(d.to_message() for d in world.decisions.values())], world.epochs)
    assert found == world.decisions


def test_the_first_authentic_decision_of_a_sequence_is_taken() -> None:
    """Were there two that both parties signed, what was found would not change with the messages behind it."""
    world, other = started(), World()
    other.decide(other.get("a"))
    messages = [decided.decisions[0].to_message() for decided in (world, other)]
    for first, second in (messages, messages[::-1]):
        assert select_decisions([first, second], world.epochs)[0].to_message() == first


def test_a_written_record_is_what_its_party_stored() -> None:
    """Value, chain and writer come out of the decision alone."""
    world = started()
    world.decide(world.request("object.delete", {"key": "a"}), world.put("a", 4))
    for sequence, index, version in ((0, 0, 1), (1, 0, 2), (2, 0, 3), (2, 1, 4)):
        decision = world.decisions[sequence]
        batch = WrittenBatch(sequence, decision.outcomes, decision.values)
        record = batch.record(world.ledger_id, VersionRead(A, version, (sequence, index)))
        assert record == world.ledger.history[A][version - 1]


@pytest.mark.parametrize(("index", "version"), [(0, 9), (1, 2), (7, 2), (-1, 2)])
def test_what_was_not_written_is_not_found(index: int, version: int) -> None:
    """Another version, entry or sequence than the one that wrote."""
    world = started()
    batch = WrittenBatch(1, world.decisions[1].outcomes, world.decisions[1].values)
    with pytest.raises(NothingProvenError):
        batch.record(world.ledger_id, VersionRead(A, version, (1, index)))
    with pytest.raises(NothingProvenError):
        decision_at(world.decisions, 9)


def test_a_decision_of_another_ledger_is_none() -> None:
    """The same names and keys, another nonce."""
    other = World(b"other")
    other.decide(other.put("a", 1))
    assert select_decisions([other.decisions[0].to_message()], started().epochs) == {}
