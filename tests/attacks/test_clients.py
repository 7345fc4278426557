"""Clients, and whoever may write to `requests`: replays, forgeries, rubbish, traps in JSON. Each gets one stable code
or is counted; nothing is stuck, nothing is decided twice, and nobody is accused.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.canonical_json import NotCanonicalError
from protocol.evidence.verdicts import AUDITOR
from protocol.hashing import ZERO_HASH
from protocol.limits import HOUR_MS, MINUTE_MS, Limits
from protocol.requests import OpenedRequest, gather_requests, open_request
from protocol.signing import BadKeyError, verify_key
from schemas.order import Entry
from schemas.request import Envelope, RequestBody
from streams.client import Client
from streams.kafka_connection import KafkaConnection
from tests.attacks.lies import bend_order, refusal_codes
from tests.attacks.line import Line
from tests.gallery.hanging import alter_entry
from tests.mock_cluster import mock_cluster
from tests.parties import key_of

TRAPS = json.loads((Path(__file__).parents[1] / "vectors/canonical_json.json").read_text())["refused"]


def forge(request: OpenedRequest, signature: bytes) -> bytes:
    """A request's body under another signature, as it goes over the log."""
    return replace(request.envelope, signature=signature).to_message()


def with_argument(line: Line, argument: bytes) -> Envelope:
    """A signed request with an argument that is written by hand."""
    body = RequestBody.from_bytes(line.clients.body("object.get", {}))
    unsigned = gather_requests(line.epochs.ledger_id, [replace(body, argument=argument).to_bytes()])
    return unsigned.envelopes(key_of("admin").sign(unsigned.signed))[0]


# --- Forgeries ---


def test_the_victims_body_under_a_rubbish_signature_first_does_not_harm_the_victim() -> None:
    """A rejection of what failed authentication binds the envelope's hash and never the request_id."""
    line = Line()
    victim = line.clients.put("a", 1)
    line.send("requests", forge(victim, bytes(63) + b"\1"))
    line.run(100)
    line.ask(victim)
    line.run()
    line.check_honest()
    assert line.receipts()[victim.request_id].ok
    assert [(entry.code, entry.request_id) for entry in line.rejections()] == [("request.bad_signature", ZERO_HASH)]


@pytest.mark.parametrize("at_once", [100, pytest.param(2_500, marks=pytest.mark.slow)], ids=["4,000", "100,000"])
def test_a_flood_of_forgeries_makes_one_rejection_batch_a_second_and_service_goes_on(at_once: int) -> None:
    """However many: a hundred entries a second at most, in one batch, and nothing of it in the replay guard."""
    line = Line()
    victim = line.clients.put("a", 1)
    seconds, number = 4, 0
    for turn in range(10 * seconds):
        for _ in range(at_once):
            number += 1
            line.send("requests", forge(victim, number.to_bytes(32, "big") + bytes(31) + b"\1"))
        asked = line.clients.put("b", turn)
        line.ask(asked, partition=1)
        line.run(100)
        assert line.receipts()[asked.request_id].ok, "served within a tenth of a second"
    line.ask(victim)
    line.run()
    line.check_honest()
    assert line.receipts()[victim.request_id].ok
    assert line.stages["order"].measures["unauthenticated"] == number
    assert len(line.values("rejections")) <= seconds + 1
    assert len(line.rejections()) <= (seconds + 1) * Limits().unauthenticated_rejections_per_second
    assert line.auditor.store.load().replay_entries == 10 * seconds + 1


def test_a_foreign_leaf_in_a_signed_batch_is_not_signed_by_its_entity() -> None:
    """Mallory signs a root that has bob's request under it; bob's own envelope of the same request is decided."""
    line = Line()
    line.ask(line.clients.enrol("bob"))
    line.ask(line.clients.enrol("mallory"))
    line.run()
    bobs = line.clients.body("object.put", {"key": "a", "value": 1}, "bob")
    mallorys = line.clients.body("object.put", {"key": "b", "value": 1}, "mallory")
    together = line.clients.sign(bobs, mallorys, signer="mallory")
    line.ask(*together)
    line.run(500)
    assert line.receipts().keys() & {request.request_id for request in together} == {together[1].request_id}
    (own,) = line.clients.sign(bobs, signer="bob")
    assert own.request_id == together[0].request_id
    line.ask(own)
    line.run()
    line.check_honest()
    assert line.receipts()[own.request_id].ok
    assert [entry.code for entry in line.rejections()] == ["request.bad_signature"]


def test_a_path_that_leads_elsewhere_is_malformed_or_forged() -> None:
    """One node too many or too few, another index or count: nothing of it is decided, and nobody is accused."""
    line = Line()
    bodies = [line.clients.body("object.put", {"key": "a", "value": n}) for n in range(3)]
    envelope = line.clients.sign(*bodies)[0].envelope
    for changes in (
        {"path": (*envelope.path, ZERO_HASH)},
        {"path": envelope.path[:-1]},
        {"index": 1},
        {"index": 3},
        {"count": 0, "path": ()},
        {"count": 4},
        {"count": 2**40},
    ):
        line.send("requests", replace(envelope, **changes).to_message())
    line.run()
    line.check_honest()
    assert {entry.code for entry in line.rejections()} <= {
        "request.malformed",
        "request.bad_signature",
        "request.too_large",
    }
    assert len(line.rejections()) == 7
    assert not any(decision.outcomes for decision in line.decisions().values())


# --- Replays ---


def test_one_request_in_two_partitions_is_decided_once() -> None:
    """At once, around a restart, under another signature, and after the guard has let go of it."""
    line = Line()
    body = line.clients.body("object.put", {"key": "a", "value": 1})
    (request,) = line.clients.sign(body)
    again, _ = line.clients.sign(body, line.clients.body("object.get", {"key": "a"}))
    assert request.request_id == again.request_id
    line.ask(request, partition=0)
    line.ask(request, partition=1)
    line.run(500)
    line.stages["order"].crash()
    line.ask(again, partition=1)
    line.run(500)
    line.stages["order"].crash()
    line.run(3 * MINUTE_MS)
    line.put("b", 1)
    assert line.auditor.store.load().replay_entries == 1, "the guard has let go of the first"
    line.ask(request, partition=0)
    line.ask(again, partition=1)
    line.run()
    line.check_honest()
    places = [
        index
        for decision in line.decisions().values()
        for index, entry in enumerate(decision.entries)
        if request.request_id == _identity(entry)
    ]
    assert len(places) == 1
    assert line.code_of(request) == "request.forgotten"
    assert [record.version for _, record in line.auditor.store.records("object")] == [1, 1]


def _identity(entry: bytes) -> bytes:
    envelope = Envelope.from_bytes(Entry.from_bytes(entry).envelope)
    return gather_requests(ZERO_HASH, [envelope.body]).request_ids[0]


# --- What is turned away ---


def test_each_wrong_request_has_its_code_and_nobody_is_accused() -> None:
    line = Line()
    line.ask(line.clients.enrol("bob"))
    line.run()
    clients = line.clients
    wrong = {
        "request.expired": clients.request("object.get", {"key": "a"}, expiry_ms=line.log.now_ms - 1),
        "request.not_yet_valid": clients.request("object.get", {"key": "a"}, not_before_ms=line.log.now_ms + 9000),
        "request.too_far_ahead": clients.request(
            "object.get", {"key": "a"}, expiry_ms=line.log.now_ms + 25 * HOUR_MS
        ),
        "request.after_unknown": clients.request("object.get", {"key": "a"}, after=99),
        "contract.unknown": clients.request("nowhere", {}),
    }
    line.ask(*wrong.values())
    line.run(500)
    assert {code: line.code_of(request) for code, request in wrong.items()} == {code: code for code in wrong}
    line.ask(clients.request("object.get", {"key": "a"}, "nobody"))
    line.ask(clients.request("object.get", {"key": "a"}, "bob", signer="eve"))
    line.run(1500)
    foreign = Line(b"other").clients.get("a")
    line.send("requests", foreign.envelope.to_message())
    line.run(1500)
    large = with_argument(line, b'"' + b"a" * Limits().argument_bytes + b'"')
    line.send("requests", large.to_message())
    line.send("requests", b"")
    line.send("requests", b"\xc3\x01 rubbish")
    line.run()
    line.check_honest()
    assert [entry.code for entry in line.rejections() if entry.request_id == ZERO_HASH] == [
        "entity.unknown",
        "request.bad_signature",
        "request.wrong_ledger",
        "request.too_large",
    ]
    assert line.stages["order"].measures["skipped"] == 2


def test_an_identity_key_is_refused_at_registration() -> None:
    """Under it, anything would verify. The refusal is an outcome that both parties sign."""
    identity = (1).to_bytes(32, "little")
    with pytest.raises(BadKeyError, match="small order"):
        verify_key("ed25519", identity)
    line = Line()
    argument = {"algorithm": "ed25519", "entity": "eve", "proof": bytes(64).hex(), "public_key": identity.hex()}
    request = line.clients.request("sys.entity.register", argument)
    line.ask(request)
    line.run()
    line.check_honest()
    receipt = line.receipts()[request.request_id]
    assert (receipt.status, receipt.code) == ("failed", "key.refused")


def test_a_client_cannot_deny_what_it_asked_for() -> None:
    """Its signature over the request is kept in the decision, and a learner can check it."""
    line = Line(learns=True)
    line.ask(line.clients.enrol("bob"))
    line.run()
    request = line.clients.request("object.put", {"key": "a", "value": 1}, "bob")
    line.ask(request)
    line.run()
    line.check_honest()
    decision = line.decisions()[line.receipts()[request.request_id].sequence]
    kept = open_request(Entry.from_bytes(decision.entries[0]).envelope, line.epochs.ledger_id, Limits())
    key = key_of("bob").public_key
    check = kept.signature_check(key)
    verify_key(*key).verify(check.signed, check.signature)
    assert kept.request_id == request.request_id
    assert request.request_id in {row[0] for row in line.views.requests}


# --- Traps in JSON ---


@pytest.mark.parametrize(("data", "why"), TRAPS, ids=[why for _, why in TRAPS])
def test_a_trap_in_json_has_one_code_at_the_auditor_and_at_the_ledger(data: str, why: str) -> None:
    """The Auditor turns it away; ordered all the same, by a lying one, it is refused by the Ledger."""
    line = Line()
    envelope = with_argument(line, bytes.fromhex(data))
    line.send("requests", envelope.to_message())
    line.run(200)
    line.check_honest()
    assert [entry.code for entry in line.rejections()] == ["argument.not_canonical"], why
    entry = envelope.to_bytes()
    sequence = len(line.orders())
    bend_order(
        line, sequence, lambda order: line.clients.reorder(order, alter_entry(order, 0, envelope=entry))
    )
    line.get("a")
    line.run(200)
    assert refusal_codes(line) == ["order.malformed"]
    halt = line.stages["commit"].halt
    assert halt is not None
    assert "argument.not_canonical" in halt.text
    assert line.named() == {AUDITOR}


@pytest.mark.parametrize("value", [1.0, -0.0, 2**53, float("nan"), "\ud800", [[[]]] * 2, {"\udfff": 1}], ids=repr)
def test_a_trap_in_json_has_the_same_code_in_the_client(value: object) -> None:
    """Before anything is sent."""
    deep: object = value
    for _ in range(31):
        deep = [deep]
    with mock_cluster() as cluster:
        for topic in ("requests", "receipts", "rejections"):
            cluster.create_topic(topic)
        connection = KafkaConnection(bootstrap=cluster.bootstrap, fetch_wait_ms=5)
        with Client(connection, Line().epochs, entity="admin", key=key_of("admin"), partitions=1) as client:
            with pytest.raises(NotCanonicalError) as refused:
                client.submit("object.get", deep)
            assert refused.value.code == "argument.not_canonical"
