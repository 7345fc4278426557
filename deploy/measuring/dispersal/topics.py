"""What a learner receives on the real topics of a real broker, as a multiple of the journal."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.deployment import Deployment
from deploy.home import Home
from deploy.initialize import CLIENT, DASHBOARD, LEARNER, VIEWS, NewLedger
from deploy.measuring.load import puts, run_load
from deploy.session import DEFAULT_ENTITY, open_client
from protocol.configuration import Epochs
from protocol.errors import CountersignError
from protocol.limits import Limits
from schemas.statement import Decision, Statement
from schemas.topics import DECISIONS
from streams.client_options import ClientOptions
from streams.kafka_log import KafkaLogReader
from streams.learn_once import LearnedJournal, learn_once

_KEYS = 1000
_DEADLINE_S = 120.0


def measure_topics(
    directory: Path, requests: int, seconds: float, checksum: str, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run a ledger whose decisions have `requests` requests at most, and learn its journal from pieces alone.

    Args:
        directory: where the ledger is made.
        seconds: of load; with enough of it every batch is full.
    """
    home = Home(directory)
    deployment = Deployment(home)
    limits = replace(Limits(), batch_requests=requests)
    deployment.up(say, NewLedger(limits=limits, checksum=checksum), without=(LEARNER, VIEWS, DASHBOARD))
    try:
        with open_client(home, DEFAULT_ENTITY, ClientOptions(signed_together=requests)) as client:
            answers = run_load(client, puts(_KEYS, seed=1), seconds, lambda _: None)
        learned = _learn_everything(home, deployment.epochs())
    finally:
        deployment.down(say)
    report = learned.report
    return {
        "checksum": checksum,
        "n": deployment.epochs().latest.n,
        "requests_decided": answers.decided,
        "updates": report.updates,
        "blocks": report.blocks,
        "journal_bytes": report.journal_bytes,
        "received_bytes": report.received.total + report.extra_bytes,
        "copies": round(report.copies, 4),
        "decodes": report.decodes,
        "decodes_max": report.decodes_max,
        "is_within_bounds": report.is_within_bounds(),
        "halted": learned.halt is not None,
    }


def _learn_everything(home: Home, epochs: Epochs) -> LearnedJournal:
    """Learn until the newest decision is among what was learned: the replicas need a moment for it."""
    deadline = time.monotonic() + _DEADLINE_S
    newest = -1
    while time.monotonic() < deadline:
        reader = KafkaLogReader(home.load(CLIENT).connection())
        try:
            newest = max(newest, _newest_decision(reader))
            learned = learn_once(epochs, reader, lambda: int(time.time() * 1000))
        finally:
            reader.close()
        if learned.sequence >= newest or learned.halt is not None:
            return learned
    raise CountersignError("service.failed", f"no piece of sequence {newest} after {_DEADLINE_S:.0f} s")


def _newest_decision(reader: KafkaLogReader) -> int:
    messages = reader.read_tail(DECISIONS, 1)
    signed = [Decision.from_message(message.value or b"").signed for message in messages]
    return max((Statement.from_bytes(one.statement).sequence for one in signed), default=-1)
