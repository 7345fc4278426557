"""What the pages for operators say of exit codes and of stores is what the commands do."""

import re
from pathlib import Path

from deploy import output
from storage.loading.stores_file import read_stores_file
from storage.tables.store_settings import settings_of

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_every_exit_code_is_in_the_table() -> None:
    """All that `deploy.output` names in its rule, the constants among them, and no others."""
    table = (DOCS / "operating.md").read_text().partition("## Exit codes")[2].partition("\n## ")[0]
    told = {int(number) for cell in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for number in cell.split(", ")}
    (rule,) = re.findall(r"Exit codes: (.*?)\n3\.", output.__doc__ or "", re.DOTALL)
    ruled = {int(number) for number in re.findall(r"\b\d+\b", rule)}
    assert {output.EXIT_REFUSED, output.EXIT_WORLD, output.EXIT_CHECK} < ruled
    assert told == ruled | {130}  # Ctrl-C


def test_the_urls_of_stores() -> None:
    """Each that `transactions.md` shows is one; SQLite's file is where the page says."""
    page = (DOCS / "transactions.md").read_text()
    rows = page.partition("| URL | store |")[2].partition("\n\n")[0]
    urls = re.findall(r"`([a-z]+://[^`]*)`", rows.replace("$PWD", "/home/user"))
    assert {settings_of(url).kind for url in urls} == {"postgresql", "redis", "sqlite"}
    assert settings_of("sqlite:///var/lib/bank.db").settings == {"file": "/var/lib/bank.db"}
    assert "`sqlite:///var/lib/bank.db`" in rows
    assert "in the file `/var/lib/bank.db`" in rows


def test_the_file_of_stores() -> None:
    """The example can be read, with the stores that it names."""
    page = (DOCS / "transactions.md").read_text()
    (example,) = re.findall(r"```toml\n(home = .*?)```", page, re.DOTALL)
    assert sorted(read_stores_file(example.encode()).stores) == ["archive", "bank", "cache"]
