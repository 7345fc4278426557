"""Each misdeed of the gallery convicts who did it, and each form of evidence has a misdeed."""

import pytest

from protocol.evidence.kinds import FALSE_BLOCK, REPLICA, TOO_MANY_LIARS, find_row
from protocol.evidence.local_engine import LocalEngine
from protocol.evidence.verdicts import Verdict
from protocol.evidence.verify import ROWS, verify_evidence
from tests.gallery import GALLERY, Exhibit

ENGINE = LocalEngine()
ABOUT_REPLICAS = {REPLICA, FALSE_BLOCK, TOO_MANY_LIARS}


def judge(shown: Exhibit) -> Verdict:
    """The verdict on an exhibit."""
    return verify_evidence(shown.evidence.to_bytes(), shown.epochs.ledger_id, ENGINE)


@pytest.mark.parametrize("name", GALLERY)
def test_misdeed_convicts(name: str) -> None:
    """The file convicts its culprit, with an explanation."""
    shown = GALLERY[name]()
    verdict = judge(shown)
    assert (verdict.finding, verdict.culprit) == (shown.finding, shown.culprit), verdict
    assert verdict.convicts
    assert verdict.explanation


def test_every_row_has_a_misdeed() -> None:
    """No row of the table is untested; those about replicas need blocks and have tests of their own."""
    shown = set()
    for make in GALLERY.values():
        evidence = make().evidence
        claims = [part.data.decode() for part in evidence.parts if part.name == "claim"]
        names = [part.name for part in evidence.parts if part.name != "claim"]
        row = find_row(ROWS, evidence.kind, claims[0] if claims else "", names)
        shown.add((row.kind, row.claim, row.parts))
    table = {(row.kind, row.claim, row.parts) for row in ROWS if row.kind not in ABOUT_REPLICAS}
    assert table - shown == set()
