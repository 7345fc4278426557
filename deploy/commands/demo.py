"""`demo`: real data through everything, and an alteration caught."""

import shlex
import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from deploy.commands.ledger import BrokerOption, StoreOfOption, StoreOption, stores_by_namespace
from deploy.commands.sql import query_client
from deploy.demonstration.blame import await_named_replica
from deploy.demonstration.comparison import compare_views
from deploy.demonstration.inventory import NAMESPACE, Item, environment_items
from deploy.demonstration.recording import Recording, record, register_recorder
from deploy.demonstration.tampering import Tampering, tamper
from deploy.deployment import Deployment
from deploy.home import Home
from deploy.initialize import DASHBOARD
from deploy.instructions import instruction
from deploy.local.cache import cache_directory
from deploy.output import JsonOption, Output, run
from deploy.session import receipt_file
from protocol.limits import Limits
from protocol.receipts import verify_receipt
from streams.query_client import QueryClient

LIAR = 3
"""The replica that disperses corrupted pieces from the start."""

_BY_DISTRIBUTION = f"""
SELECT value ->> 'distribution' AS distribution, count(*) AS files, sum((value ->> 'size')::BIGINT) AS bytes
FROM records WHERE namespace = '{NAMESPACE}' AND key LIKE 'file/%' GROUP BY 1 ORDER BY bytes DESC
"""
_SHOWN = 12


def demo(
    home: Annotated[
        Path | None, typer.Option("--home", help="Where to run; by default a place in the user's cache, made anew.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Only stop and remove what the last demonstration left in the cache.")
    ] = False,
    broker: BrokerOption = "",
    store: StoreOption = None,
    store_of: StoreOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record where every installed file came from, check it every way, alter a record and catch it.

    Example: [bold]countersign demo --keep[/bold]
    """
    if forget and (home is not None or keep):
        raise typer.BadParameter("--forget is for the place in the cache, and goes with neither --home nor --keep")
    place = _usual_place() if home is None else Home(home).directory

    def work(output: Output) -> None:
        if home is None:
            _forget(output, place)
        if forget:
            output.result({"home": str(place)})
            return
        deployment = Deployment(Home(place), broker=broker, store=store, store_of=stores_by_namespace(store_of))
        output.result(_run(output, deployment, keep, external=bool(broker)))

    run(as_json, work, place)


def _forget(output: Output, place: Path) -> None:
    """Stop and remove what an earlier demonstration left."""
    if not place.exists():
        return
    Deployment(Home(place)).down(output.say)  # it was kept running
    shutil.rmtree(place)
    output.say(f"the ledger of the last demonstration is removed from {escape(str(place))}")


def _run(output: Output, deployment: Deployment, keep: bool, *, external: bool) -> dict[str, Any]:
    started = time.perf_counter()
    output.say(
        "[bold]1. Starting[/bold] Kafka, two stores, Auditor, Ledger, four replicas, a learner, views"
    )
    deployment.up(output.say, liars=(LIAR,))
    try:
        output.say(
            f"dashboard: [bold]{deployment.addresses().get(DASHBOARD, '-')}[/bold]; replica {LIAR} lies"
        )
        result = _show(output, deployment)
        if keep:
            directory = deployment.home.directory
            output.say(f"everything is left running in {escape(str(directory))}")
            output.say(f"stop it with {escape(instruction('down', directory))}")
    finally:
        if not keep:
            deployment.down(output.say)
            output.say(_left(deployment.home.directory))
    broker = {
        "broker": "external" if external else "kafka",
        "seconds": round(time.perf_counter() - started, 1),
    }
    return {**result, **broker}


def _left(place: Path) -> str:
    """Where the files are, and how one gets rid of them."""
    removes = f"; {instruction('demo --forget')} removes them" if place == _usual_place() else ""
    return escape(f"everything is stopped; its files are in {place}{removes}")


def _usual_place() -> Path:
    """What each run makes anew that is told no other place."""
    return cache_directory() / "demo"


def _show(output: Output, deployment: Deployment) -> dict[str, Any]:
    home = deployment.home
    output.say(
        "\n[bold]2. Recording[/bold] the provenance of this Python environment, one signed request per file"
    )
    register_recorder(home, output)
    items = list(environment_items())
    recording = record(home, output, items)
    decided = [receipt for receipt in recording.receipts if receipt.ok]
    latency = recording.latency()
    rate = len(recording.receipts) / recording.seconds
    output.say(
        f"{len(decided):,} of {len(items):,} decided and verified in {recording.seconds:.1f} s: "
        f"[bold]{rate:,.0f} requests/s[/bold], p50 {latency['p50']} ms, p99 {latency['p99']} ms"
    )
    learned = _query(output, query_client(home), recording)
    compared = compare_views(home, query_client(home), (NAMESPACE,))
    output.say(f"learner, Ledger and Auditor hold the same {compared:,} records [green]✓[/green]")
    receipt = _verify_receipt(output, home, recording)
    liar = await_named_replica(deployment, LIAR)
    output.say(f"the learner named replica [bold]{liar}[/bold] as a liar, and lost nothing [green]✓[/green]")
    output.say("\n[bold]5. Tampering[/bold]: the Ledger's operator alters a record at rest")
    tampering = _tamper(output, deployment, items)
    return {
        "requests": len(items),
        "decided": len(decided),
        "rejected": recording.rejected,
        "learned": learned,
        "views_equal": True,
        "receipt_verified": receipt,
        "tampering": {
            "detected": True,
            "culprit": str(tampering.evidence.verdict.culprit),
            "evidence": str(tampering.evidence.file),
        },
        "liar_named": liar,
        "requests_per_second": round(rate, 1),
        "latency_ms": latency,
    }


def _query(output: Output, client: QueryClient, recording: Recording) -> int:
    output.say("\n[bold]3. Asking the learner[/bold], which rebuilt the journal from the replicas' pieces")
    answer = client.query(_BY_DISTRIBUTION, wait_for=recording.last_sequence)
    output.table("files and bytes per distribution", answer.columns, answer.rows[:_SHOWN])
    output.say(f"[dim]… {max(0, len(answer.rows) - _SHOWN)} more[/dim]")
    count = "SELECT count(*) FROM requests WHERE contract = 'provenance.record'"
    return int(str(client.query(count).rows[0][0]))


def _verify_receipt(output: Output, home: Home, recording: Recording) -> bool:
    output.say("\n[bold]4. Verifying[/bold] one receipt offline, and looking at the replicas")
    receipt = recording.receipts[len(recording.receipts) // 2]
    file = receipt_file(home, receipt.request_id)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(receipt.to_bytes())
    trusted = bytes.fromhex(home.load("client").ledger_id)
    verified = verify_receipt(file.read_bytes(), trusted, None, Limits())
    output.say(
        f"{file.name[:16]}….receipt: {verified.outcome.contract} by {verified.outcome.entity} "
        f"at sequence {verified.statement.sequence}, signed by both [green]✓[/green]"
    )
    return not verified.failed


def _tamper(output: Output, deployment: Deployment, items: list[Item]) -> Tampering:
    item = next(item for item in items if item.key.startswith("file/"))
    tampering = tamper(deployment, output, item)
    verdict = tampering.evidence.verdict
    output.say(
        f"[bold white on red] {verdict.finding}: {verdict.culprit} [/bold white on red] {verdict.explanation}"
    )
    output.say(f"the evidence: {escape(str(tampering.evidence.file))}; anybody can check it, without a server:")
    verify = f"evidence verify {shlex.quote(str(tampering.evidence.file))}"
    output.say(f"  {escape(instruction(verify, deployment.home.directory))}")
    output.say("ordering has stopped: nothing above the disputed sequence ever gets a receipt")
    return tampering


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)
