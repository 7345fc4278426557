"""`docs/recovery.md` says what to do for every code with which a role can halt."""

import re
from pathlib import Path

import pytest

from protocol.operating_codes import HALTS

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "recovery.md").read_text()
CODES = [row[0] for row in HALTS]
ROLES = ("auditor", "ledger", "learners", "storage", "streams")


@pytest.mark.parametrize("code", CODES)
def test_every_halt_has_its_place(code: str) -> None:
    """A heading, or the first cell of a row."""
    assert re.search(rf"^(### {re.escape(code)}$|\| `{re.escape(code)}` \|)", PAGE, re.MULTILINE)


def test_no_code_is_told_that_does_not_exist() -> None:
    """Headings and first cells."""
    told = re.findall(r"^(?:### |\| `)([a-z]+\.[a-z_]+)", PAGE, re.MULTILINE)
    assert set(told) == set(CODES)


def test_what_no_role_reports() -> None:
    """The page says of some codes that no role reports them: so it is, and it is said of no others."""
    sources = "".join(path.read_text() for role in ROLES for path in (ROOT / role).rglob("*.py"))
    silent = {code for code in CODES if f'"{code}"' not in sources}
    said = re.findall(r"(?:### |\| `)([a-z]+\.[a-z_]+)(?:` \| |\n\n)No role reports it today", PAGE)
    assert set(said) == silent


def test_every_text_of_a_damaged_guard_is_told() -> None:
    """As the guard says them, without what follows a colon or a place."""
    source = (ROOT / "storage" / "signing_guard.py").read_text()
    texts = re.findall(r'GuardDamagedError\(f?"([^":{]+?)(?: at byte)?[":{ ]*(?=[":{])', source)
    assert len(texts) > 5
    missing = [text for text in texts if f"`{text.strip()}`" not in PAGE]
    assert not missing
