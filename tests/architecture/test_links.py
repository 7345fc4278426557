"""Every link of the documentation to a file of the house, or to a heading of one, leads somewhere."""

import re
from pathlib import Path

import pytest

from tests.architecture.house import ROOT

PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "benchmarks/**/*.md")
    for page in ROOT.glob(pattern)
)


def prose(page: Path) -> str:
    """A page without its blocks of code and what stands in backquotes."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def is_dead(page: Path, link: str) -> bool:
    """Whether a relative link leads nowhere."""
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return True
    return bool(anchor) and anchor not in anchors(target)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    """Relative ones, with their anchors; others are not looked up."""
    page = ROOT / name
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if "://" not in link]
    assert not [link for link in links if is_dead(page, link)]


def test_the_pages_are_linked() -> None:
    """Each page of `docs/` can be reached from README."""
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        names = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if "://" not in link]
        waiting += [(page.parent / name).resolve() for name in names if name]
    assert not [page.name for page in (ROOT / "docs").glob("*.md") if page not in seen]


def test_a_dead_link_is_noticed() -> None:
    """No such file, no such heading; a heading that is there is found."""
    page = ROOT / "README.md"
    assert is_dead(page, "docs/none.md")
    assert is_dead(page, "docs/sql.md#none")
    assert not is_dead(page, "docs/sql.md#over-http")
