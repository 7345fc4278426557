"""The page of the paper's claims cites tests and files that exist."""

import re
from pathlib import Path

from tests.architecture.house import ROOT

PAGE = (ROOT / "docs" / "dispersal.md").read_text()


def test_every_cited_test_exists() -> None:
    """`file::function`, the file below `tests/`."""
    cited = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)
    assert len(cited) > 15
    for file, function in cited:
        assert f"def {function}(" in (ROOT / "tests" / file).read_text(), f"{file}::{function}"


def test_every_cited_file_exists() -> None:
    """Paths of code and of other pages."""
    files = re.findall(r"`((?:learners|streams|auditor|protocol|benchmarks|deploy)/[\w/]+\.py)`", PAGE)
    pages = re.findall(r"\]\(([\w-]+\.md)\)", PAGE)
    assert files
    assert pages
    missing = [name for name in (*files, *(f"docs/{page}" for page in pages)) if not Path(ROOT / name).is_file()]
    assert not missing
