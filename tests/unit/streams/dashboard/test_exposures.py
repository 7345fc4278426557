"""Only a verdict that convicts exposes anybody."""

import pytest

from protocol.evidence.verdicts import AUDITOR, LEDGER, Culprit, Finding, Verdict
from streams.dashboard.exposures import Exposures, JudgedEvidence


def judged(finding: Finding, culprit: Culprit | None = None, kind: str = "execution") -> JudgedEvidence:
    verdict = Verdict(finding=finding, culprit=culprit, explanation="why")
    return JudgedEvidence(kind=kind, verdict=verdict, evidence_hash=bytes(32), at_ms=5)


@pytest.mark.parametrize("finding", [Finding.NOTHING, Finding.CANNOT_JUDGE, Finding.KEY])
def test_what_does_not_convict_exposes_nobody(finding: Finding) -> None:
    """Not even where the verdict names somebody's key."""
    exposures = Exposures()
    exposures.take(judged(finding, LEDGER if finding is Finding.KEY else None))
    shown = exposures.snapshot()
    assert shown["exposed"] == []
    assert shown["unproven"] == {str(finding): 1}
    assert not exposures.exposes("ledger")


def test_a_culprit_is_exposed_once_per_kind() -> None:
    """More evidence of the same is counted; another kind, and another culprit, are shown beside it."""
    exposures = Exposures()
    for _ in range(3):
        exposures.take(judged(Finding.GUILTY, LEDGER))
    exposures.take(judged(Finding.FALSE_ACCUSER, LEDGER, "false accusation"))
    exposures.take(judged(Finding.GUILTY, Culprit("replica", 2), "replica"))
    shown = exposures.snapshot()["exposed"]
    assert [(each["culprit"], each["kind"], each["pieces"]) for each in shown] == [
        ("ledger", "execution", 3),
        ("ledger", "false accusation", 1),
        ("replica 2", "replica", 1),
    ]
    assert shown[1]["finding"] == "FALSE ACCUSER"
    assert (shown[2]["role"], shown[2]["replica"]) == ("replica", 2)
    assert exposures.exposes("replica 2")
    assert not exposures.exposes(str(AUDITOR))


def test_exposures_are_bounded() -> None:
    """Whoever is convicted stays so; a convict's evidence of ever more kinds fills no memory."""
    exposures = Exposures()
    for number in range(1_000):
        exposures.take(judged(Finding.GUILTY, LEDGER, kind=f"kind {number}"))
    assert len(exposures.snapshot()["exposed"]) == 32
    assert exposures.exposes("ledger")
    assert exposures.judged == 1_000
