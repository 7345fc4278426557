"""What the Auditor makes of a result that differs from its own."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from protocol.evidence import kinds
from protocol.evidence.case import presuming
from protocol.evidence.decisions import select_decisions
from protocol.evidence.disputes import UNSIGNED, Dispute, open_dispute
from protocol.evidence.verdicts import AUDITOR, LEDGER, Finding, NothingProvenError, Verdict
from protocol.hashing import ZERO_HASH, tagged
from protocol.journal import Head
from protocol.merkle import Frontier
from protocol.records import Record, RecordKey
from protocol.requests import OpenedRequest
from schemas.statement import Decision, Result, Statement, Update
from tests.gallery.hanging import A, alter_outcome, alter_pin, judge, order_of, started
from tests.gallery.orders import register_scanner, scan
from tests.gallery.outcomes import FALSE_HASH
from tests.worlds import World


class Accuser:
    """An Auditor that does what its machine does: fetch, judge, sign, judge again as everybody will."""

    def __init__(self, world: World, update: Update, result: Result) -> None:
        self.world = world
        self.dispute = open_dispute(world.epochs, update, result)
        messages = [world.decisions[sequence].to_message() for sequence in self.dispute.needed_sequences]
        self.decisions: dict[int, Decision] = select_decisions(messages, world.epochs)
        self.older: dict[RecordKey, list[Record]] = {}
        for key, version in self.dispute.histories(self.decisions):
            self.older.setdefault(key, []).append(world.auditor.history[key][version - 1])

    def judge(self, frontier: Frontier | None = None, own_signature: bytes = UNSIGNED) -> Verdict:
        """The verdict on the accusation, own signature presumed; and on what will be shown to everybody."""
        evidence = self.dispute.build(self.decisions, older=self.older, frontier=frontier)
        return judge(evidence, self.world.epochs, verify=presuming(self.dispute.own_input))

    def judge_signed(self, frontier: Frontier | None = None) -> Verdict:
        """The verdict of somebody else on the file as it is shown."""
        signature = self.world.auditor.key.sign(self.dispute.own_input)
        evidence = self.dispute.build(self.decisions, older=self.older, frontier=frontier, own_signature=signature)
        return judge(evidence, self.world.epochs)


def disputed(world: World, *requests: OpenedRequest) -> tuple[Update, Result]:
    """A batch that both executed on their own records."""
    order, update = world.order(*requests)
    return update, world.commit(order, requests)


def assert_convicts_ledger(accuser: Accuser, frontier: Frontier | None = None) -> None:
    assert accuser.judge(frontier).culprit == LEDGER, accuser.judge(frontier)
    assert accuser.judge_signed(frontier).culprit == LEDGER


def test_a_record_altered_in_the_ledgers_store() -> None:
    """The demonstration: value altered, hash recomputed, record used."""
    world = started()
    world.ledger.alter(A, "altered")
    accuser = Accuser(world, *disputed(world, world.get("b"), world.put("a", 5)))
    assert (accuser.dispute.kind, accuser.dispute.claim) == (kinds.LEAF_CONTRADICTION, "read")
    assert accuser.dispute.needed_sequences == {1}
    assert accuser.dispute.index == 1
    assert not accuser.dispute.needs_own_signature
    assert_convicts_ledger(accuser)


def test_a_record_of_the_genesis_altered_in_the_ledgers_store() -> None:
    """Nothing of the past is needed but the genesis."""
    world = started()
    world.ledger.alter(RecordKey("sys", "namespace/object"), {"owner": "admin", "x": 1})
    accuser = Accuser(world, *disputed(world, world.put("a", 5)))
    assert accuser.dispute.needed_sequences == frozenset()
    assert_convicts_ledger(accuser)


def test_a_record_altered_in_the_auditors_store() -> None:
    """Its own verifier convicts nobody else, and names the Auditor when asked about its own leaf."""
    world = started()
    world.auditor.alter(A, "altered")
    accuser = Accuser(world, *disputed(world, world.get("a")))
    assert accuser.judge().finding is Finding.NOTHING
    own = accuser.dispute.build(accuser.decisions, accused="auditor")
    assert judge(own, world.epochs, verify=presuming(accuser.dispute.own_input)).culprit == AUDITOR
    assert judge(own, world.epochs).finding is Finding.NOTHING


def test_a_record_altered_within_the_batch() -> None:
    """The Ledger's own earlier leaf contradicts it."""
    world = started()
    update, result = disputed(world, world.put("a", 3), world.get("a"))
    reads = alter_pin(result.outcomes[1], A, FALSE_HASH)
    accuser = Accuser(world, update, world.restate(result, alter_outcome(result.outcomes, 1, reads=reads)))
    assert accuser.dispute.needed_sequences == frozenset()
    assert_convicts_ledger(accuser)


def test_an_absent_record_with_a_hash() -> None:
    """The Ledger says that it read something where nothing is."""
    world = started()
    update, result = disputed(world, world.get("c"))
    reads = alter_pin(result.outcomes[0], RecordKey("object", "c"), FALSE_HASH)
    assert_convicts_ledger(
        Accuser(world, update, world.restate(result, alter_outcome(result.outcomes, 0, reads=reads)))
    )


def lie(world: World, *requests: OpenedRequest) -> tuple[Update, Result]:
    """A batch whose last output the Ledger lies about."""
    update, result = disputed(world, *requests)
    outcomes = alter_outcome(result.outcomes, len(requests) - 1, output_hash=tagged("output", b'"lie"'))
    return update, world.restate(result, outcomes)


def test_a_wrong_output_is_executed_again() -> None:
    """Pins of all that was read, and the Auditor's own statement, are needed."""
    world = started()
    accuser = Accuser(world, *lie(world, world.get("b"), world.get("a")))
    assert accuser.dispute.kind == kinds.EXECUTION
    assert accuser.dispute.needed_sequences == {1}
    assert accuser.dispute.needs_own_signature
    assert_convicts_ledger(accuser)
    unsigned = accuser.dispute.build(accuser.decisions)
    assert judge(unsigned, world.epochs).finding is Finding.NOTHING


def test_a_wrong_output_that_the_auditor_made() -> None:
    """Its own verifier names the Auditor before anything is signed."""
    world = started()
    update, result = disputed(world, world.get("a"))
    lying = world.restate(result, alter_outcome(result.outcomes, 0, output_hash=tagged("output", b'"lie"')))
    accuser = Accuser(world, replace(update, statement=lying.statement, outcomes=lying.outcomes), result)
    assert accuser.judge().culprit == AUDITOR


REQUESTS: dict[str, str] = {
    "what the batch wrote": "batch",
    "an absent record": "absent",
    "a scan": "scan",
    "a history": "history",
    "a history of the batch": "own history",
    "a failure": "failure",
}


@pytest.mark.parametrize("what", REQUESTS.values(), ids=REQUESTS)
def test_whatever_was_read_is_pinned(what: str) -> None:
    """Everything a request can read is found and shown, so that executing again convicts."""
    world = started()
    register_scanner(world)
    world.decide(world.request("object.delete", {"key": "b"}), world.put("c", 1), world.put("a", 3))
    requests: Sequence[OpenedRequest] = {
        "batch": [world.put("a", 4), world.put("b", 2), world.get("a")],
        "absent": [world.get("z")],
        "scan": [scan(world, limit=2)],
        "history": [world.request("object.history", {"key": "a", "limit": 9})],
        "own history": [
            world.put("a", 4),
            world.put("a", 5),
            world.request("object.history", {"key": "a", "limit": 9}),
        ],
        "failure": [world.request("object.get", {})],
    }[what]
    assert_convicts_ledger(Accuser(world, *lie(world, *requests)))


# --- Statements ---


def altered_statement(**changes: object) -> tuple[World, Update, Result]:
    """A result whose statement the Ledger altered."""
    world = started()
    update, result = disputed(world, world.get("a"))
    return world, update, world.restate(result, **changes)  # type: ignore[arg-type]


def test_a_header_copied_wrongly() -> None:
    """No past is needed."""
    world, update, result = altered_statement(ordered_at_ms=1)
    accuser = Accuser(world, update, result)
    assert (accuser.dispute.claim, accuser.dispute.needed_sequences) == ("header", frozenset())
    assert_convicts_ledger(accuser)


def test_another_predecessor() -> None:
    """The decision before it is needed."""
    world, update, result = altered_statement(previous_statement_hash=ZERO_HASH)
    accuser = Accuser(world, update, result)
    assert (accuser.dispute.claim, accuser.dispute.needed_sequences) == ("predecessor", frozenset({1}))
    assert_convicts_ledger(accuser)


def test_another_journal() -> None:
    """The decision before it is needed, and the journal before that."""
    world, update, result = altered_statement(journal_root=ZERO_HASH)
    accuser = Accuser(world, update, result)
    assert (accuser.dispute.claim, accuser.dispute.needed_sequences) == ("journal root", frozenset({1}))
    assert accuser.dispute.needs_frontier
    with pytest.raises(NothingProvenError):
        accuser.judge()
    frontier = Head.start().advance(world.decisions[0].signed.statement).frontier
    assert_convicts_ledger(accuser, frontier)


@pytest.mark.parametrize("changes", [{"previous_statement_hash": FALSE_HASH}, {"journal_root": FALSE_HASH}])
def test_the_first_statement(changes: dict[str, bytes]) -> None:
    """Nothing is before it."""
    world = World()
    update, result = disputed(world, world.get("a"))
    accuser = Accuser(world, update, world.restate(result, **changes))  # type: ignore[arg-type]
    assert accuser.dispute.needed_sequences == frozenset()
    assert not accuser.dispute.needs_frontier
    assert_convicts_ledger(accuser)


def test_an_order_that_the_auditor_did_not_sign() -> None:
    """A bogus order signature in the endorsement, of this order or of another."""
    world = started()
    update, result = disputed(world, world.get("a"))
    statement = Statement.from_bytes(result.statement)
    bogus = world.sign_result(statement, order_of(world, 1).signature, result.outcomes)
    accuser = Accuser(world, update, bogus)
    assert accuser.dispute.kind == kinds.UNSIGNED_ORDER
    assert_convicts_ledger(accuser)
    other = world.restate(bogus, order_hash=ZERO_HASH)
    assert_convicts_ledger(Accuser(world, update, other))


# --- No dispute ---


def test_another_order_that_the_auditor_signed_is_no_dispute() -> None:
    """Its log and its store contradict each other: it must halt, and accuse nobody."""
    world = started()
    update, result = disputed(world, world.get("a"))
    order = order_of(world, 1)
    other = world.reorder(order, sequence=2)
    signed = world.sign_result(
        replace(Statement.from_bytes(result.statement), order_hash=tagged("order", other.header)),
        other.signature,
        result.outcomes,
    )
    with pytest.raises(NothingProvenError, match="another order"):
        open_dispute(world.epochs, update, signed)


def test_outcomes_altered_on_the_way_are_no_dispute() -> None:
    """The statement does not fix them, so the Ledger did not sign them."""
    world = started()
    world.ledger.alter(A, "altered")
    update, result = disputed(world, world.get("a"))
    for outcomes in ((), (b"rubbish",), update.outcomes, result.outcomes * 2):
        with pytest.raises(NothingProvenError, match="not those"):
            open_dispute(world.epochs, update, replace(result, outcomes=outcomes))


def test_equal_results_are_no_dispute() -> None:
    """Nothing differs."""
    world = started()
    with pytest.raises(NothingProvenError, match="nothing differs"):
        open_dispute(world.epochs, *disputed(world, world.get("a")))


def test_a_missing_decision_is_said() -> None:
    """The broker does not have it: nothing can be built."""
    world = started()
    world.ledger.alter(A, "altered")
    dispute: Dispute = open_dispute(world.epochs, *disputed(world, world.get("a")))
    with pytest.raises(NothingProvenError, match="decision 1"):
        dispute.build({})


OUTCOMES: dict[str, dict[str, object]] = {
    "entity": {"entity": "mallory"},
    "index": {"index": 1},
    "reads": {"reads": ()},
    "writes": {"writes": ()},
    "status": {"status": "failed", "code": "contract.failed"},
}


@pytest.mark.parametrize("changes", OUTCOMES.values(), ids=OUTCOMES)
def test_an_outcome_altered_anywhere(changes: dict[str, object]) -> None:
    """Whatever field of an outcome the Ledger lies about."""
    world = started()
    update, result = disputed(world, world.put("a", 3))
    lying = world.restate(result, alter_outcome(result.outcomes, 0, **changes))
    assert_convicts_ledger(Accuser(world, update, lying))


def test_an_outcome_that_is_none() -> None:
    """Rubbish under a signed root."""
    world = started()
    update, result = disputed(world, world.put("a", 3))
    assert_convicts_ledger(Accuser(world, update, world.restate(result, (b"rubbish",))))
