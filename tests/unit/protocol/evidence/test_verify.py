"""The verifier as a whole: what it reads, whom it trusts, how it says what it found."""

from dataclasses import replace

import pytest

from protocol.errors import ERRORS
from protocol.evidence import build
from protocol.evidence.case import verify_signature
from protocol.evidence.verdicts import LEDGER, CannotJudgeError, Culprit, Finding, NothingProvenError, Verdict
from protocol.evidence.verify import EVIDENCE_BYTES, PARTS, verify_evidence
from protocol.signatures import SignatureCheck
from schemas.evidence import Part
from tests.gallery import GALLERY
from tests.gallery.hanging import judge, order_of, result_of, started, with_another, with_part, without_part
from tests.worlds import World


@pytest.mark.parametrize("name", GALLERY)
def test_no_part_may_be_missing_or_superfluous(name: str) -> None:
    """Without any part, with any part twice, or with one that nobody asked for, the file proves nothing."""
    shown = GALLERY[name]()
    parts = shown.evidence.parts
    for index, part in enumerate(parts):
        without = replace(shown.evidence, parts=(*parts[:index], *parts[index + 1 :]))
        verdict = judge(without, shown.epochs)
        assert not verdict.convicts or verdict.culprit == shown.culprit, part.name
        assert not judge(with_another(shown.evidence, part.name, part.data), shown.epochs).convicts, part.name
    assert not judge(with_another(shown.evidence, "note", b"guilty!"), shown.epochs).convicts
    assert not judge(replace(shown.evidence, parts=()), shown.epochs).convicts


def test_kinds_and_claims_are_exact() -> None:
    """An unknown kind, a claim that is empty, doubled, foreign or no text."""
    shown = GALLERY["stale_read"]()
    plain = GALLERY["two_orders"]()
    for evidence in (
        replace(plain.evidence, kind="two order"),
        replace(plain.evidence, kind=""),
        with_another(plain.evidence, "claim", b""),
        with_another(plain.evidence, "claim", b"ledger"),
        with_another(shown.evidence, "claim", b"order.stale_read"),
        with_part(shown.evidence, "claim", b"order.second_writer"),
        with_part(shown.evidence, "claim", b"\xff"),
        without_part(shown.evidence, "claim"),
    ):
        assert judge(evidence, shown.epochs).finding is Finding.NOTHING


def test_limits() -> None:
    """Too many bytes or parts are not looked at."""
    shown = GALLERY["two_orders"]()
    many = replace(shown.evidence, parts=(Part("order", b""),) * (PARTS + 1))
    assert str(PARTS + 1) in judge(many, shown.epochs).explanation
    large = verify_evidence(bytes(EVIDENCE_BYTES + 1), shown.epochs.ledger_id)
    assert large.finding is Finding.NOTHING
    assert large.explanation.startswith("evidence.malformed")


def test_another_format_is_not_judged() -> None:
    """A later version of this file may mean something else."""
    shown = GALLERY["two_orders"]()
    assert judge(replace(shown.evidence, format=2), shown.epochs).finding is Finding.CANNOT_JUDGE


def test_the_ledger_is_the_readers() -> None:
    """Neither the file's ledger_id nor its genesis is trusted."""
    shown, other = GALLERY["two_orders"](), World(b"other")
    assert judge(shown.evidence, other.epochs).explanation.startswith("evidence.ledger")
    renamed = replace(shown.evidence, ledger_id=other.ledger_id)
    assert judge(renamed, other.epochs).explanation.startswith("genesis.untrusted")


def test_configurations_must_be_there_and_signed() -> None:
    """None at all, or one that a party did not sign."""
    shown = GALLERY["two_orders"]()
    for configurations in ((), (shown.evidence.configurations[0][:-130] + bytes(128) + b"\0\0",)):
        evidence = replace(shown.evidence, configurations=configurations)
        assert judge(evidence, shown.epochs).finding is Finding.NOTHING


def test_the_reader_may_know_more_configurations() -> None:
    """What is void in an epoch that the file does not show convicts nobody; another history is not believed."""
    world = started()
    request = world.put("a", 3)
    order, _ = world.order(request, store=False)
    again, _ = world.order(world.get("b"), request, store=False)
    moved = world.reorder(again, sequence=3)
    parts = [("entry", build.entry_part(order, 0)), ("entry", build.entry_part(moved, 1))]
    evidence = build.order_contradiction(world.epochs, "order.repeated", parts)
    assert judge(evidence, world.epochs).convicts
    before = world.epochs
    world.begin_epoch()
    assert judge(evidence, before, known=before.signed).convicts
    assert not judge(evidence, before, known=world.epochs.signed).convicts
    longer = build.order_contradiction(world.epochs, "order.repeated", parts)
    assert not judge(longer, before, known=before.signed).convicts
    other = started()
    other.begin_epoch(auditor="another")
    assert "epoch.chain" in judge(longer, before, known=other.epochs.signed).explanation


def test_a_file_at_its_bounds() -> None:
    """As many parts and as many bytes as may be are looked at; one more is not."""
    shown = GALLERY["two_orders"]()
    filler = Part("filler", b"")
    for count, code in ((PARTS, "evidence.nothing"), (PARTS + 1, "evidence.malformed")):
        parts = (*shown.evidence.parts, *[filler] * (count - len(shown.evidence.parts)))
        assert judge(replace(shown.evidence, parts=parts), shown.epochs).explanation.startswith(code)
    room = EVIDENCE_BYTES - len(replace(shown.evidence, parts=(*shown.evidence.parts, filler)).to_bytes()) - 3
    for more, code in ((0, "evidence.nothing"), (1, "evidence.malformed")):
        parts = (*shown.evidence.parts, Part("filler", bytes(room + more)))
        long = replace(shown.evidence, parts=parts)
        assert len(long.to_bytes()) == EVIDENCE_BYTES + more
        assert judge(long, shown.epochs).explanation.startswith(code)


def test_an_attachment_is_judged_with_the_same_check_of_signatures() -> None:
    """A party that checks its accusation before it signs checks what is attached to it in the same way."""
    shown = GALLERY["false_accusation"]()
    seen: list[SignatureCheck] = []

    def verify(check: SignatureCheck) -> None:
        seen.append(check)
        verify_signature(check)

    verdict = judge(shown.evidence, shown.epochs, verify=verify)
    assert (verdict.finding, verdict.culprit) == (Finding.FALSE_ACCUSER, LEDGER)
    auditor, ledger = (getattr(shown.epochs.latest, f"{role}_key") for role in ("auditor", "ledger"))
    assert [check.key for check in seen] == [ledger, auditor, auditor], "the refusal, and both orders in it"


def test_what_a_verdict_says() -> None:
    """The forms of PROTOCOL 4."""
    assert str(Verdict(finding=Finding.GUILTY, culprit=LEDGER)) == "GUILTY(ledger)"
    guilty = Verdict(finding=Finding.GUILTY, culprit=Culprit("replica", 2), explanation="why")
    assert str(guilty) == "GUILTY(replica 2): why"
    assert str(Verdict(finding=Finding.NOTHING, explanation="why")) == "NOTHING: why"
    assert str(Verdict(finding=Finding.CANNOT_JUDGE)) == "CANNOT JUDGE"
    assert str(Verdict(finding=Finding.FALSE_ACCUSER, culprit=LEDGER)) == "FALSE ACCUSER(ledger)"
    for error in (NothingProvenError("x"), CannotJudgeError("x"), NothingProvenError("x", "evidence.ledger")):
        assert error.code in ERRORS


def test_an_honest_history_is_silent() -> None:
    """What the builders make of honest messages convicts nobody."""
    world = started()
    honest = build.two_ledger_statements(world.epochs, result_of(world.decisions[0]), result_of(world.decisions[1]))
    assert judge(honest, world.epochs).finding is Finding.NOTHING
    assert judge(build.two_orders(world.epochs, order_of(world, 0), order_of(world, 1)), world.epochs).finding is (
        Finding.NOTHING
    )
