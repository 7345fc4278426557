"""A dishonest operator of the Ledger: alters a record at rest, recomputes its hash, and is caught when it is used."""

import time
from dataclasses import dataclass

import orjson

from deploy.demonstration.inventory import NAMESPACE, READ_CONTRACT, Item
from deploy.demonstration.recording import RECORDER
from deploy.deployment import Deployment
from deploy.initialize import LEDGER
from deploy.judge import JudgedEvidence, collect_evidence
from deploy.output import Output
from deploy.session import open_client
from protocol.canonical_json import dumps
from protocol.errors import CountersignError
from protocol.evidence.verdicts import Finding
from protocol.records import RecordKey, record_hash

_EVIDENCE_DEADLINE_S = 60.0
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tampering:
    """What was altered, and the evidence that came of it."""

    key: str
    before: str
    after: str
    evidence: JudgedEvidence


def tamper(deployment: Deployment, output: Output, item: Item) -> Tampering:
    """Alter one record in the Ledger's store, restart the Ledger, use the record, and await the evidence.

    Raises:
        CountersignError: `evidence.missing`, nobody noticed in time.
    """
    before, after = _alter(deployment, item)
    output.say(
        f"altered [bold]{item.key}[/bold] in the Ledger's store, its hash recomputed:\n  {before}\n  {after}"
    )
    deployment.stack.supervisor.stop(LEDGER)
    deployment.start_role(LEDGER)
    output.say("restarted the Ledger; now a client reads the record")
    with open_client(deployment.home, RECORDER) as client:
        client.submit(READ_CONTRACT, {"key": item.key}, keys=[(NAMESPACE, item.key)])
        evidence = _await_evidence(deployment)
        client.close(timeout_s=0)
    return Tampering(key=item.key, before=before, after=after, evidence=evidence)


def _alter(deployment: Deployment, item: Item) -> tuple[str, str]:
    configuration = deployment.home.load(LEDGER)
    store = configuration.open_store()
    try:
        key = RecordKey(NAMESPACE, item.key)
        record = store.fetch((key,)).records[key]
        value = orjson.loads(record.value)
        digest = value["sha256"]
        value["sha256"] = ("0" if digest[0] != "0" else "1") + digest[1:]
        altered = record._replace(value=dumps(value))
        ledger_id = bytes.fromhex(configuration.ledger_id)
        hashed = record_hash(
            ledger_id,
            key,
            altered.version,
            altered.deleted,
            altered.value,
            altered.request_id,
            altered.previous_hash,
        )
        store.overwrite(key, altered._replace(record_hash=hashed))
    finally:
        store.close()
    return record.value.decode(), altered.value.decode()


def _await_evidence(deployment: Deployment) -> JudgedEvidence:
    deadline = time.monotonic() + _EVIDENCE_DEADLINE_S
    while time.monotonic() < deadline:
        for judged in collect_evidence(deployment.home):
            if judged.verdict.finding is Finding.GUILTY and not str(judged.verdict.culprit).startswith(
                "replica"
            ):
                return judged
        time.sleep(_LOOK_S)
    raise CountersignError("evidence.missing", f"nothing within {_EVIDENCE_DEADLINE_S:.0f} s")
