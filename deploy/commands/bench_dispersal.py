"""`bench dispersal`: bytes, decodings and speed of replicas and learners, beside the paper's exact figures."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.measuring.circumstances import machine, measured_commit
from deploy.measuring.dispersal.figures import Row
from deploy.measuring.dispersal.plan import FULL, QUICK, REQUESTS, measure_rows, rows_count
from deploy.measuring.dispersal.topics import measure_topics
from deploy.output import EXIT_CHECK, JsonOption, Output, run
from protocol.configuration import TREE
from streams.garbage_collection import collect_rarely

_LOAD_S = 15.0
_COLUMNS = ("n", "bound by", "attack", "block", "sent", "other", "copies", "decodes", "replica", "learner", "sha256")


def dispersal(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer blocks, and no broker: within two minutes.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Disperse and learn with each checksum, under no attack and the worst one, for n = 4, 7, 16 and 32.

    Sent and received bytes must equal the paper's figures exactly; what signatures and framing add is stated
    beside them. Exit code 5 where they do not, or where a block took more decodings than its bound.

    Example: [bold]countersign bench dispersal --quick --json[/bold]
    """

    def work(output: Output) -> int:
        collect_rarely()
        began, effort = time.perf_counter(), QUICK if quick else FULL
        with output.progress() as bars:
            measuring = bars.add_task("measuring", total=rows_count(effort))
            rows = measure_rows(effort, lambda _: bars.advance(measuring))
        result: dict[str, Any] = {
            "rows": [row.mapping() for row in rows],
            "quick": quick,
            "is_exact": all(row.is_exact for row in rows),
        }
        _show(output, rows)
        if not quick:
            with tempfile.TemporaryDirectory(prefix="countersign-bench-") as directory:
                result["topics"] = measure_topics(Path(directory), REQUESTS, _LOAD_S, TREE, output.say)
            output.say(f"on the real topics a learner received {result['topics']['copies']} copies of the journal")
        result |= {
            "seconds": round(time.perf_counter() - began, 1),
            "commit": measured_commit(),
            "machine": machine(),
        }
        output.result(result)
        return 0 if result["is_exact"] else EXIT_CHECK

    run(as_json, work)


def _show(output: Output, rows: Sequence[Row]) -> None:
    output.say(
        "sent: bytes per replica and block, as the paper counts; other: framing and signatures; copies of the journal\n"
        "received with everything; decodes: most for one block; replica, learner, sha256: MB/s of one thread, without\n"
        "signatures"
    )
    for updates, title in (
        ("synthetic", "updates of 256 bytes"),
        ("decisions", f"real decisions of {REQUESTS} requests, through the whole machines"),
    ):
        shown = [_cells(row) for row in rows if row.updates == updates]
        output.table(title, _COLUMNS, shown)
    inexact = [f"n={row.n} {row.checksum} {row.attack}" for row in rows if not row.is_exact]
    if inexact:
        output.say(f"[red]not as the paper has it[/red]: {', '.join(inexact)}")
    else:
        output.say(f"{len(rows)} rows: every byte as the paper has it, every decoding within its bound")


def _cells(row: Row) -> tuple[object, ...]:
    liars = f" {row.liars}" if row.liars else ""
    return (
        row.n,
        row.checksum,
        f"{row.attack}{liars}",
        row.block_updates,
        row.sent_per_replica_bytes // row.blocks,
        (row.framing_bytes + row.signature_bytes) // row.blocks,
        row.wire_copies,
        row.decodes_most,
        round(row.replica_unsigned_mb_per_second),
        round(row.learner_unsigned_mb_per_second),
        round(row.sha256_mb_per_second),
    )


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command()(dispersal)
