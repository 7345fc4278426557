"""A Ledger that lies about what came of an order, or whose data was altered: the Auditor's evidence names it, or it
finds the damage by itself and nobody is named.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocol.evidence import build
from protocol.evidence.verdicts import LEDGER
from protocol.hashing import ZERO_HASH, tagged
from protocol.journal import Head
from protocol.records import RecordKey
from protocol.signatures import ledger_endorsement_input
from protocol.signing import SigningKey
from schemas.outcome import Outcome
from schemas.statement import Result, Statement
from tests.attacks.lies import bend_result, take_back
from tests.attacks.line import Line
from tests.gallery.hanging import A, alter_outcome, alter_pin
from tests.parties import key_of

FALSE_HASH = tagged("record", b"something else")


def started() -> Line:
    """A line with two versions of object "a"."""
    line = Line()
    line.put("a", 1)
    line.put("a", 2)
    line.check_honest()
    return line


def check_ledger_named(line: Line, sequence: int) -> None:
    """Require that the Ledger is named and nobody else, and that nothing from the sequence on was decided."""
    assert line.named() == {LEDGER}
    assert line.halts()["validate"] == "evidence.raised"
    assert max(line.decisions()) == sequence - 1
    assert all(receipt.sequence < sequence for receipt in line.receipts().values())


# --- Data altered at rest ---


def test_an_altered_value_whose_hash_was_recomputed_names_the_ledger() -> None:
    """What a dishonest operator does: the read's hash is not what both parties signed when it was written."""
    line = started()
    sequence = max(line.orders()) + 1
    line.alter(line.ledger, A, 99, recompute=True)
    line.get("a")
    line.run()
    check_ledger_named(line, sequence)


@pytest.mark.parametrize("key", [A, RecordKey("sys", "entity/admin/key/1"), RecordKey("sys", "contract/object.get/1")])
def test_an_altered_value_whose_hash_was_left_halts_the_ledger(key: RecordKey) -> None:
    """It finds itself at fault: it halts and accuses nobody, and so does everybody else."""
    line = started()
    decided = max(line.decisions())
    record = line.ledger.store.fetch((key,)).records[key]
    line.ledger.store.overwrite(key, record._replace(value=b"99"))
    line.get("a")
    line.run()
    assert line.halts() == {"commit": "store.damaged"}
    line.check_nobody_accused()
    assert max(line.decisions()) == decided


def test_an_altered_record_that_is_only_written_names_the_ledger_or_nobody() -> None:
    """A record that is written and not read is read all the same: its version and hash are what the next follows."""
    line = started()
    sequence = max(line.orders()) + 1
    line.alter(line.ledger, A, 99, recompute=True)
    line.put("a", 3)
    check_ledger_named(line, sequence)


@pytest.mark.parametrize("recompute", [True, False], ids=["hash recomputed", "hash left"])
def test_a_clients_key_replaced_in_the_ledgers_store_halts_it(recompute: bool) -> None:
    """To it the client's signature fails; but no decision shows such a key, so it does not accuse the Auditor."""
    line = started()
    public_key = key_of("eve").public_key
    value = {"algorithm": public_key.algorithm, "public_key": public_key.key.hex(), "status": "active"}
    line.alter(line.ledger, RecordKey("sys", "entity/admin/key/1"), value, recompute=recompute)
    line.get("a")
    line.run()
    assert line.halts() == {"commit": "store.contradicts_log"}
    line.check_nobody_accused()


@pytest.mark.parametrize("forward", [True, False], ids=["a version too new", "a version too old"])
def test_another_version_in_the_ledgers_store_halts_it(forward: bool) -> None:
    """To it the order reads a stale version, or one that nobody wrote; the signed orders say otherwise."""
    line = started()
    if forward:
        line.ledger.store.overwrite(A, line.next_version(line.ledger, A, 99))
    else:
        take_back(line.ledger, A, 1)
    line.get("a")
    line.run()
    assert line.halts() == {"commit": "store.contradicts_log"}
    line.check_nobody_accused()


# --- Results that are false ---


Lie = Callable[[Line, Result], Result]


def _outcome(**changes: Any) -> Lie:
    return lambda line, result: line.clients.restate(result, alter_outcome(result.outcomes, -1, **changes))


def _statement(**changes: Any) -> Lie:
    return lambda line, result: line.clients.restate(result, **changes)


def _read_hash(line: Line, result: Result) -> Result:
    pins = alter_pin(result.outcomes[-1], A, FALSE_HASH)
    return line.clients.restate(result, alter_outcome(result.outcomes, -1, reads=pins))


def _read_version(line: Line, result: Result) -> Result:
    reads = tuple(read._replace(version=read.version + 1) for read in Outcome.from_bytes(result.outcomes[-1]).reads)
    return line.clients.restate(result, alter_outcome(result.outcomes, -1, reads=reads))


def _bogus_order_signature(line: Line, result: Result) -> Result:
    bogus = replace(result, order_signature=key_of("mallory").sign(b"an order"))
    return line.clients.restate(bogus)


def _bogus_order(line: Line, result: Result) -> Result:
    """Another order as well, which the Auditor never signed."""
    bogus = replace(result, order_signature=key_of("mallory").sign(b"an order"))
    return line.clients.restate(bogus, order_hash=tagged("order", b"another"))


LIES: dict[str, Lie] = {
    "a wrong output": _outcome(output_hash=tagged("output", b'"lie"')),
    "a failure that was none": _outcome(status="failed", code="contract.failed", fail_text="no"),
    "a hash other than its pin": _read_hash,
    "versions other than the order's": _read_version,
    "another request": _outcome(request_id=ZERO_HASH),
    "an outcome that is none": lambda line, result: line.clients.restate(result, (result.outcomes[-1] + b"\0",)),
    "another predecessor": _statement(previous_statement_hash=tagged("statement", b"another")),
    "a journal rolled back": _statement(journal_root=Head.start().frontier.root()),
    "another time": _statement(ordered_at_ms=1),
    "a bogus order signature": _bogus_order_signature,
    "a bogus order": _bogus_order,
}


@pytest.mark.parametrize("name", LIES)
def test_a_false_result_names_the_ledger(name: str) -> None:
    line = started()
    sequence = max(line.orders()) + 1
    bend_result(line, sequence, lambda result: LIES[name](line, result))
    line.get("a")
    line.run()
    check_ledger_named(line, sequence)


@pytest.mark.parametrize("changes", [{"format": 2}, {"ledger_id": bytes(32)}], ids=["format", "ledger"])
def test_a_statement_that_nobody_judges_is_skipped(changes: dict[str, Any]) -> None:
    """No evidence could be made of it, so the Auditor goes on to wait for one about this ledger."""
    line = started()
    sequence = max(line.orders()) + 1

    def lie(result: Result) -> Result:
        statement = replace(Statement.from_bytes(result.statement), **changes).to_bytes()
        signed = ledger_endorsement_input(line.clients.ledger_id, 0, statement, result.order_signature)
        return replace(result, statement=statement, ledger_signature=key_of("ledger").sign(signed))

    bend_result(line, sequence, lie)
    request = line.get("a")
    line.run()
    assert sequence in line.results()
    assert line.stages["validate"].measures["skipped"] >= 1
    assert request.request_id not in line.receipts()
    line.check_nobody_accused()
    assert not line.halts()


def test_a_false_result_upon_what_the_batch_itself_wrote_names_the_ledger() -> None:
    """The pre-state was written earlier in the same batch, so no decision pins it: both parties' leaves do."""
    line = started()
    sequence = max(line.orders()) + 1
    bend_result(line, sequence, lambda result: LIES["a wrong output"](line, result))
    line.ask(line.clients.put("a", 3), line.clients.get("a"))
    line.run()
    check_ledger_named(line, sequence)


def test_what_is_above_a_disputed_sequence_never_gets_a_receipt() -> None:
    """It was ordered and committed before the dispute was seen; nor does a restart of anybody change that."""
    line = started()
    sequence = max(line.orders()) + 1
    bend_result(line, sequence, lambda result: LIES["a wrong output"](line, result))
    line.stages["validate"].stopped = True
    for turn in range(4):
        line.ask(line.clients.put("b", turn))
        line.run(100)
    assert max(line.results()) > sequence + 2
    line.stages["validate"].stopped = False
    line.run()
    for name in ("validate", "order", "commit"):
        line.stages[name].crash()
    line.ask(line.clients.put("c", 1))
    line.run(20_000)
    check_ledger_named(line, sequence)
    assert len(line.values("decisions")) == sequence


def test_a_false_result_that_only_a_broker_made_names_nobody() -> None:
    """Outcomes beside a statement that does not fix them: whoever carried it altered them; it is sent again."""
    line = started()
    sequence = max(line.orders()) + 1
    altered: list[Result] = []

    def alter_once(result: Result) -> Result:
        if altered:
            return result
        altered.append(result)
        return replace(result, outcomes=alter_outcome(result.outcomes, 0, output_hash=ZERO_HASH))

    bend_result(line, sequence, alter_once)
    request = line.get("a")
    line.run(10_000)
    line.check_honest()
    assert line.receipts()[request.request_id].output == 2


# --- Two histories ---


def test_two_histories_name_the_ledger() -> None:
    """A second statement for a decided sequence changes nothing, and with the first one convicts its signer."""
    line = started()
    first = line.results()[0]
    second = line.clients.restate(first, alter_outcome(first.outcomes, 0, output_hash=ZERO_HASH))
    line.send("results", second.to_message())
    line.put("a", 3)
    line.check_nobody_accused()
    assert line.halts() == {}
    assert list(line.decisions()) == list(range(len(line.orders())))
    evidence = build.two_ledger_statements(line.epochs, first, second)
    assert line.judge(evidence).culprit == LEDGER


def test_a_ledger_that_rolled_back_names_itself() -> None:
    """Its later statement has a journal root over another past than it had signed."""
    line = started()
    sequence = max(line.orders()) + 1
    past = Head.start()
    for at in range(sequence):
        statement = Statement.from_bytes(line.results()[at].statement)
        past = past.advance(replace(statement, ordered_at_ms=1).to_bytes())
    bend_result(line, sequence, lambda result: line.clients.restate(result, journal_root=past.frontier.root()))
    line.get("a")
    line.run()
    check_ledger_named(line, sequence)


# --- Signatures ---


@pytest.mark.parametrize("signer", ["auditor", "mallory"])
def test_a_result_in_anothers_name_is_skipped(signer: str) -> None:
    """One party's signature in the other's place counts for nothing, and names nobody."""
    line = started()
    sequence = max(line.orders()) + 1
    key: SigningKey = key_of(signer)
    line.stages["commit"].stopped = True
    request = line.get("a")
    line.run(50)
    forged = line.clients.sign_result(
        replace(Statement.from_bytes(line.results()[sequence - 1].statement), sequence=sequence),
        line.orders()[sequence].signature,
        (),
        key,
    )
    line.send("results", forged.to_message())
    line.run(50)
    line.stages["commit"].stopped = False
    line.run()
    line.check_honest()
    assert line.stages["validate"].measures["skipped"] == 1
    assert line.receipts()[request.request_id].ok
