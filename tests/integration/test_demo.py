"""The main job: real data through everything, an alteration and a liar caught; and what it says, checked apart.

A part of the inventory is recorded, which takes less time; that the whole is large enough is
`tests/unit/deploy/demonstration/test_inventory.py`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import deploy.commands.demo as demo_module
from deploy.commands.sql import query_client
from deploy.demonstration.comparison import compare_views
from deploy.demonstration.inventory import NAMESPACE, Item, environment_items
from deploy.deployment import Deployment
from deploy.home import Home
from deploy.initialize import LEDGER
from deploy.judge import judge
from deploy.output import EXIT_CHECK
from protocol.errors import CountersignError
from protocol.evidence.verdicts import Culprit, Finding
from protocol.limits import Limits
from protocol.receipts import verify_receipt
from tests.command_line import app

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(300)]

ITEMS = 600


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the command has said, and the ledger that it left running."""

    home: Home
    items: list[Item]
    result: dict[str, Any]
    said: str


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """`countersign demo --keep --json`."""
    home = Home(tmp_path_factory.mktemp("demo"))
    items = list(islice(environment_items(), ITEMS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_module, "environment_items", lambda: iter(items))
        done = CliRunner().invoke(app, ["demo", "--keep", "--json", "--home", str(home.directory)])
    try:
        assert done.exit_code == 0, done.output
        yield Shown(home=home, items=items, result=json.loads(done.stdout.splitlines()[-1]), said=done.stderr)
    finally:
        Deployment(home).down(lambda _: None)


def test_everything_was_decided_and_learned(shown: Shown) -> None:
    """One request for each item, none rejected; the last line has all that programs are promised."""
    result = shown.result
    counts = {name: result[name] for name in ("requests", "decided", "rejected", "learned")}
    assert counts == {"requests": ITEMS, "decided": ITEMS, "rejected": 0, "learned": ITEMS}
    assert (result["views_equal"], result["receipt_verified"], result["broker"]) == (True, True, "kafka")
    assert result["seconds"] > 0
    assert result["requests_per_second"] > 0
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"]


def test_the_learner_has_what_was_recorded(shown: Shown) -> None:
    """Item by item, asked for by SQL and not through the command."""
    rows = query_client(shown.home).query(f"SELECT key, value FROM records WHERE namespace = '{NAMESPACE}'").rows
    assert {str(key): json.loads(str(value)) for key, value in rows} == {item.key: item.value for item in shown.items}


def test_the_receipt_holds(shown: Shown) -> None:
    """The one that was kept, verified anew from its file."""
    (file,) = (shown.home.client / "receipts").iterdir()
    trusted = bytes.fromhex(shown.home.load("client").ledger_id)
    verified = verify_receipt(file.read_bytes(), trusted, None, Limits())
    assert (verified.outcome.entity, verified.outcome.contract) == ("recorder", "provenance.record")


def test_the_ledger_is_convicted_by_the_evidence(shown: Shown) -> None:
    """By the file alone, for the ledger that is meant and for no other."""
    tampering = shown.result["tampering"]
    assert (tampering["detected"], tampering["culprit"]) == (True, "ledger")
    evidence = Path(tampering["evidence"]).read_bytes()
    verdict = judge(evidence, bytes.fromhex(shown.home.load("client").ledger_id))
    assert (verdict.finding, verdict.culprit) == (Finding.GUILTY, Culprit("ledger"))
    assert judge(evidence, bytes(32)).finding is Finding.NOTHING


def test_the_alteration_is_there(shown: Shown) -> None:
    """The comparison that had found no difference before finds this one, in the Ledger's store."""
    with pytest.raises(CountersignError, match=r"views\.differ") as differ:
        compare_views(shown.home, query_client(shown.home), (NAMESPACE,))
    assert differ.value.detail.startswith(LEDGER)


def test_the_liar_is_named(shown: Shown) -> None:
    """And no other replica."""
    assert shown.result["liar_named"] == demo_module.LIAR
    judged = CliRunner().invoke(app, ["evidence", "list", "--json", "--home", str(shown.home.directory)])
    culprits = {each["culprit"] for each in json.loads(judged.stdout.splitlines()[-1])["evidence"]}
    assert culprits == {"ledger", f"replica {demo_module.LIAR}"}


def test_anybody_can_verify_the_evidence(shown: Shown, tmp_path: Path) -> None:
    """With each file and the ledger_id alone, without the ledger's home; altered, it proves nothing."""
    trusted = shown.home.load("client").ledger_id
    found = {}
    for file in (shown.home.client / "evidence").iterdir():
        found[file] = verified(file, trusted, tmp_path)
    said = {(code, verdict["culprit"]) for code, verdict in found.values()}
    assert said == {(0, "ledger"), (0, f"replica {demo_module.LIAR}")}
    for file in found:
        altered = tmp_path / file.name
        altered.write_bytes(file.read_bytes()[:-1] + b"\xff")
        assert verified(altered, trusted, tmp_path)[0] == EXIT_CHECK
        assert verified(file, "00" * 32, tmp_path)[0] == EXIT_CHECK


def verified(file: Path, ledger_id: str, nowhere: Path) -> tuple[int, dict[str, Any]]:
    """What `countersign evidence verify` says of a file, and its exit code."""
    arguments = ["evidence", "verify", str(file), "--ledger-id", ledger_id, "--home", str(nowhere), "--json"]
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, json.loads(done.stdout.splitlines()[-1])


def test_people_are_told_where_to_look(shown: Shown) -> None:
    """The dashboard's address, the stages, the table, and how to stop what was kept."""
    table = "files and bytes per distribution"
    for words in ("dashboard: http://127.0.0.1:", "receipts verified", table, "down --home"):
        assert words in shown.said, words
