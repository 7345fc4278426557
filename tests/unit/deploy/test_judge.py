"""`evidence list`: whatever stands on the topic, and a file of each piece that anybody can verify."""

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import deploy.judge as module
from deploy.home import Home
from deploy.judge import JudgedEvidence, collect_evidence, judge
from protocol.evidence.verdicts import AUDITOR, LEDGER, Finding
from schemas.evidence import Evidence
from schemas.order import OrderHeader
from schemas.rejection import Refused
from storage.effects import Message
from tests.attacks.lies import bend_order, bend_result
from tests.attacks.line import Line
from tests.gallery.hanging import alter_outcome


def lying_auditor() -> Line:
    """A ledger whose Ledger has refused an order."""
    line = Line()
    line.put("a", 1)
    before = OrderHeader.from_bytes(line.orders()[0].header).ordered_at_ms
    bend_order(line, max(line.orders()) + 1, lambda order: line.clients.reorder(order, ordered_at_ms=before - 1))
    line.get("a")
    line.run()
    return line


def lying_ledger() -> Line:
    """A ledger whose Auditor has raised evidence."""
    line = Line()
    line.put("a", 1)

    def lie(result: Any) -> Any:
        return line.clients.restate(result, alter_outcome(result.outcomes, 0, output_hash=bytes(32)))

    bend_result(line, max(line.orders()) + 1, lie)
    line.get("a")
    line.run()
    return line


def collected(
    line: Line, values: Iterable[bytes], place: Path, monkeypatch: pytest.MonkeyPatch
) -> list[JudgedEvidence]:
    """What `evidence list` makes of a topic."""
    messages = [Message("evidence", 0, at, -1, None, value, 0) for at, value in enumerate(values)]
    reader = SimpleNamespace(read_all=lambda _topic: iter(messages), close=lambda: None)
    role = SimpleNamespace(epochs=lambda: line.epochs, connection=lambda: None)
    monkeypatch.setattr(module, "KafkaLogReader", lambda _connection: reader)
    monkeypatch.setattr(Home, "load", lambda _home, _role: role)
    monkeypatch.setattr(module, "require_running", lambda _home: None)
    return collect_evidence(Home(place))


def test_a_refusal_is_evidence_against_the_auditor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has attached is the file, which needs no more than the ledger_id; it comes by itself as well, and counts
    once."""
    line = lying_auditor()
    refusal, beside = line.values("evidence")
    (attachment,) = Refused.from_message(refusal).attachments
    assert attachment == Evidence.body_of(beside)
    (found,) = collected(line, [refusal, beside, refusal], tmp_path, monkeypatch)
    assert (found.verdict.finding, found.verdict.culprit) == (Finding.GUILTY, AUDITOR)
    assert found.file.read_bytes() == attachment
    assert judge(attachment, line.epochs.ledger_id).culprit == AUDITOR


@pytest.mark.parametrize("attachments", [(), (b"rubbish",)], ids=["none", "rubbish"])
def test_a_refusal_that_proves_nothing(
    attachments: tuple[bytes, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is the refusal as a false accusation: what its broker took away convicts nobody."""
    line = lying_auditor()
    refused = Refused.from_message(line.values("evidence")[0])
    altered = Refused(
        epoch=refused.epoch, refusal=refused.refusal, signature=refused.signature, attachments=attachments
    )
    (found,) = collected(line, [altered.to_message()], tmp_path, monkeypatch)
    assert not found.verdict.convicts
    assert judge(found.file.read_bytes(), line.epochs.ledger_id) == found.verdict


def test_evidence_against_the_ledger_among_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody can read is passed by; each file has its message's offset."""
    line = lying_ledger()
    (value,) = line.values("evidence")
    values = [b"", b"rubbish", Evidence.avro.frame + b"\0", value, Refused.avro.frame]
    (found,) = collected(line, values, tmp_path, monkeypatch)
    assert (found.verdict.culprit, found.file.name) == (LEDGER, "3.evidence")
    assert found.file.read_bytes() == Evidence.body_of(value)


def test_so_many_pieces_are_kept_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody can write to the topic, and each piece is a file."""
    line = lying_auditor()
    refused = Refused.from_message(line.values("evidence")[0])
    pieces = [
        Refused(epoch=refused.epoch, refusal=refused.refusal, signature=refused.signature, attachments=(each,))
        for each in (b"one", b"two", b"three")
    ]
    monkeypatch.setattr(module, "_KEPT", 2)
    assert len(collected(line, [each.to_message() for each in pieces], tmp_path, monkeypatch)) == 2
    assert len(list((tmp_path / "client" / "evidence").iterdir())) == 2
