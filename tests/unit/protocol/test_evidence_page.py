"""`docs/evidence.md` has every kind of evidence that the verifier judges, with its parts, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path

from protocol.evidence.verify import EVIDENCE_BYTES, PARTS, ROWS

PAGE = (Path(__file__).resolve().parents[3] / "docs/evidence.md").read_text()


def rows_of(title: str) -> Iterator[list[tuple[str, ...]]]:
    """The cells of each row of the table under a title, each as the names in it."""
    table = PAGE.partition(f"\n### {title}\n")[2].partition("\n### ")[0]
    for line in re.findall(r"^\| (.*) \|$", table, re.MULTILINE)[1:]:
        yield [tuple(re.findall(r"`([^`]*)`", cell)) for cell in line.split("|")]


def told() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Kind, claim and parts of every row on the page."""
    for (claim,), parts, *_ in rows_of("order contradiction"):
        yield "order contradiction", claim, parts
    for (claim,), parts, *_ in rows_of("leaf contradiction"):
        for signer in ("auditor", "ledger"):
            yield "leaf contradiction", f"{signer} {claim}", ("statement", *parts)
    for (kind,), claims, parts, *_ in rows_of("Other kinds"):
        for claim in claims or ("",):
            yield kind, claim, parts


def test_every_kind_is_on_the_page() -> None:
    """As often as it is in the table of kinds."""
    assert sorted(told()) == sorted((row.kind, row.claim, row.parts) for row in ROWS)


def test_the_bounds_of_a_file() -> None:
    """They stand in its first step."""
    (size, parts) = re.findall(r"At most (\d+) MiB; .* at most ([\d,]+) parts", PAGE)[0]
    assert (int(size) << 20, int(parts.replace(",", ""))) == (EVIDENCE_BYTES, PARTS)
