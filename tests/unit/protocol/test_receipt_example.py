"""The example of `docs/wire-formats.md` is a receipt, and every byte that the page shows of it is right."""

import json
import re
from hashlib import sha256
from pathlib import Path

from protocol.limits import Limits
from protocol.receipts import verify_receipt
from tests.vectors.make_receipt import vector

ROOT = Path(__file__).resolve().parents[3]
VECTOR = json.loads((ROOT / "tests/vectors/receipt.json").read_text())
PAGE = (ROOT / "docs/wire-formats.md").read_text().partition("## 5. An example")[2].partition("\n## ")[0]


def test_the_golden_receipt_is_still_made() -> None:
    """If it is not, limits or a format have changed: `python -m tests.vectors.make_receipt`, and the page after it."""
    assert vector() == VECTOR


def test_it_holds() -> None:
    """For whoever trusts its ledger and asked its request."""
    receipt, identity, body = (bytes.fromhex(VECTOR[name]) for name in ("receipt", "ledger_id", "body"))
    assert verify_receipt(receipt, identity, body, Limits()).output == b"null"
    assert all(VECTOR["parts"][name] in VECTOR["receipt"] for name in ("genesis", "configuration", "statement"))


def test_the_bytes_on_the_page() -> None:
    """Statement, commitment and what is signed, line by line in hex with words after it."""
    statement, committed, signed = (
        "".join(line.partition("  ")[0].replace(" ", "") for line in block.splitlines())
        for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)
    )
    assert statement == VECTOR["parts"]["statement"]
    assert sha256(bytes.fromhex(committed)).hexdigest() == VECTOR["hashes"]['H("commit", salt, outcomes_root)']
    assert signed == VECTOR["signed"]["order"]


def test_the_hashes_on_the_page() -> None:
    """All of the file's, under their names, and no others."""
    rows = re.findall(r"^\| (.*) \| `([0-9a-f]{64})` \|$", PAGE, re.MULTILINE)
    assert {name.replace("`", ""): hashed for name, hashed in rows} == VECTOR["hashes"]
