"""The generated pages of the documentation are what the tables in the code say now."""

from pathlib import Path

import pytest

from deploy.pages import pages

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_generated_page_is_up_to_date(name: str) -> None:
    """`make docs` would change nothing."""
    assert (DOCS / name).read_text() == pages()[name], "run `make docs`"
