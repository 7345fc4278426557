"""What `status` finds: processes, how far each stage is, what is suspected and what is exposed.

*Suspected* is silence or lag; it never convicts. *Exposed* is a party or replica that checkable evidence
names. *Skipped* are messages that nobody could use: whoever writes to a topic can make any number of them. How far the
stages are, and all of these, the dashboard's process knows: it is asked.
"""

import http.client
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy.deployment import Deployment
from deploy.initialize import CLIENT, DASHBOARD
from deploy.instructions import with_instructions
from deploy.local.kafka import NAME as KAFKA
from deploy.local.stack import SPACE_BYTES_MIN, ServiceStatus
from schemas.topics import EVIDENCE, Topic, topic_table
from streams.kafka_admin import KafkaAdmin
from streams.log import LogRefusedError, LogUnavailableError

SUSPECTED = "suspected"
SKIPPED = "skipped"
MILD = frozenset({SUSPECTED, SKIPPED})
"""Kinds of findings that prove nothing against anybody, and that anybody may cause."""

_HALTED = "halted"
_DASHBOARD_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFinding:
    """Something a person should look at.

    Attributes:
        kind: "disk", "halted", "not running", "no answer", "broker", "evidence", "exposed", "suspected" or "skipped".
        who: a process, "kafka", who is exposed, or who skipped messages; "" of evidence and disks.
    """

    kind: str
    who: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStatus:
    """The state of a deployment.

    Attributes:
        processes: name, pid, state and address of each.
        topics: messages per topic; none where the broker does not answer.
        stages: name, state, sequence and lag of each, as the dashboard knows them; none where it does not run.
        skipped: who read messages and took nothing from them, on which topic, how many, and what they are.
        halted: role, code, text and remedy of those that stopped by themselves.
        findings: the gravest first.
    """

    processes: Sequence[Mapping[str, Any]]
    topics: Mapping[str, int]
    stages: Sequence[Mapping[str, Any]]
    skipped: Sequence[Mapping[str, Any]]
    halted: Sequence[Mapping[str, Any]]
    findings: Sequence[StatusFinding]

    @property
    def is_alarming(self) -> bool:
        """Whether more was found than what proves nothing."""
        return any(finding.kind not in MILD for finding in self.findings)

    def process_rows(self) -> list[tuple[object, ...]]:
        """For a table; a process id is no number that one counts with."""
        return [(p["name"], str(p["pid"] or "-"), p["state"], p["address"]) for p in self.processes]

    def topic_rows(self) -> list[tuple[object, ...]]:
        """For a table."""
        return list(self.topics.items())

    def stage_rows(self) -> list[tuple[object, ...]]:
        """For a table."""
        return [(s["name"], s["state"], _shown(s["sequence"]), _shown(s["lag"])) for s in self.stages]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def ledger_status(deployment: Deployment) -> LedgerStatus:
    """Look at a deployment's processes and topics, and ask its dashboard.

    Raises:
        CountersignError: `config.missing`, there is no ledger.
    """
    deployment.epochs()
    directory = deployment.home.directory
    said = {role: deployment.status_of(role) for role in deployment.roles()}
    services = deployment.stack.status()
    processes = [
        {
            "name": service.name,
            "pid": service.pid,
            "state": _state(service.pid, said.get(service.name, {})),
            "address": service.address or said.get(service.name, {}).get("address", ""),
        }
        for service in services
    ]
    halted = [_halt(role, values) for role, values in said.items() if values.get("state") == _HALTED]
    findings = [_finding(each, deployment.stack.log_file(str(each["role"]))) for each in halted]
    topics: dict[str, int] = {}
    if services:
        missing = _not_running(deployment, services)
        stopped_itself = {each["role"] for each in halted}  # starting it again is not what helps
        findings += (each for each in missing if each.who not in stopped_itself)
        findings[:0] = _full_disks(deployment)  # first: it may be why the rest is, and whose logs then end too early
        try:
            if KAFKA not in {each.who for each in missing}:
                asked = _asked(deployment)
                topics = _topics(asked)
                findings += _low_settings(asked)
        except LogUnavailableError:
            findings.append(_no_answer(deployment))
    seen = _snapshot(deployment, services)
    findings += _found(topics, seen)
    findings = [replace(each, text=with_instructions(each.text, directory)) for each in findings]
    halted = [{**each, "remedy": with_instructions(each["remedy"], directory)} for each in halted]
    stages = [
        {name: stage.get(name) for name in ("name", "state", "sequence", "lag")}
        for stage in seen.get("stages", {}).values()
    ]
    return LedgerStatus(
        processes=processes,
        topics=topics,
        stages=stages,
        skipped=seen.get("skipped", ()),
        halted=halted,
        findings=findings,
    )


def _halt(role: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """What a role said as it halted."""
    return {"role": role, "code": said.get("code"), "text": said.get("text"), "remedy": said.get("remedy", "")}


def _finding(halt: Mapping[str, object], log: Path) -> StatusFinding:
    said = "{role}: {code}: {text}".format_map(halt).rstrip(".")
    return StatusFinding(kind=_HALTED, who=str(halt["role"]), text=f"{said}. {halt['remedy']} Its log is {log}")


def _not_running(deployment: Deployment, services: Sequence[ServiceStatus]) -> list[StatusFinding]:
    """What was started and ended, and the roles and servers that were never started."""
    running = {service.name for service in services if service.pid is not None}
    known = [*(service.name for service in services), *deployment.stack.missing(), *deployment.roles()]
    names = [name for name in dict.fromkeys(known) if name not in running]
    return [
        StatusFinding(
            kind="not running",
            who=name,
            text=f"{name}: start it with `countersign up`; its log is {deployment.stack.log_file(name)}",
        )
        for name in names
    ]


def _full_disks(deployment: Deployment) -> Iterator[StatusFinding]:
    """The disks on which a part of the ledger lies, and little is free."""
    places = [deployment.home.stack, *map(deployment.home.role, deployment.roles())]
    places += (deployment.stack.directory / service.name for service in deployment.stack.status())
    disks: dict[int, Path] = {}
    for place in filter(Path.exists, places):
        disks.setdefault(place.stat().st_dev, place)
    for place in disks.values():
        free_bytes = shutil.disk_usage(place).free
        if free_bytes < SPACE_BYTES_MIN:
            text = f"{free_bytes >> 20} MiB are free where {place} lies: free some space, then `countersign up`"
            yield StatusFinding(kind="disk", who="", text=text)


def _no_answer(deployment: Deployment) -> StatusFinding:
    address, log = deployment.stack.bootstrap_servers, deployment.stack.log_file(KAFKA)
    see = f": see {log}" if log.exists() else ""
    return StatusFinding(kind="no answer", who=KAFKA, text=f"kafka at {address} does not answer{see}")


def _found(topics: Mapping[str, int], seen: Mapping[str, Any]) -> Iterator[StatusFinding]:
    """What the log holds, and what the dashboard makes of it."""
    if topics.get(EVIDENCE):
        yield StatusFinding(kind="evidence", who="", text="was raised: look at it with `countersign evidence list`")
    for each in seen.get("evidence", {}).get("exposed", ()):
        text = "{culprit}: {kind}: {explanation}".format_map(each)
        yield StatusFinding(kind="exposed", who=each["culprit"], text=text)
    for each in seen.get("suspected", ()):
        if each["kind"] != "halt":  # it said so itself
            yield StatusFinding(kind=SUSPECTED, who=each["who"], text=f"{each['who']}: {each['kind']}: {each['text']}")
    for each in seen.get("skipped", ()):
        yield StatusFinding(kind=SKIPPED, who=each["who"], text=f"{each['topic']}: {each['text']}")


_Asked = tuple[KafkaAdmin, tuple[Topic, ...]]
"""Who asks the broker, and the topics that it asks for."""


def _asked(deployment: Deployment) -> _Asked:
    configuration = deployment.home.load(CLIENT)
    return KafkaAdmin(configuration.connection()), topic_table(configuration.partitions, deployment.epochs().latest.n)


def _topics(asked: _Asked) -> dict[str, int]:
    """Messages of each topic.

    Raises:
        LogUnavailableError: the broker does not answer.
    """
    admin, table = asked
    topics: dict[str, int] = {}
    for (name, _), extent in admin.extents(table).items():
        topics[name] = topics.get(name, 0) + extent.end - extent.first
    return topics


def _low_settings(asked: _Asked) -> list[StatusFinding]:
    """What keeps the broker from taking long messages, as far as one may know."""
    admin, table = asked
    with suppress(LogUnavailableError, LogRefusedError):
        return [
            StatusFinding(kind="broker", who=KAFKA, text=f"long messages are not taken: {line}")
            for line in admin.too_low(table)
        ]
    return []


def _snapshot(deployment: Deployment, services: Sequence[ServiceStatus]) -> dict[str, Any]:
    """What the dashboard shows; empty where it does not run, or does not answer."""
    pids = {service.name: service.pid for service in services}
    said = deployment.status_of(DASHBOARD)
    if pids.get(DASHBOARD) is None or said.get("pid") != pids[DASHBOARD]:
        return {}
    connection = http.client.HTTPConnection(urlsplit(str(said.get("address", ""))).netloc, timeout=_DASHBOARD_S)
    try:
        connection.request("GET", "/snapshot")
        shown: dict[str, Any] = json.loads(connection.getresponse().read())
        return shown
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()


def _state(pid: int | None, said: Mapping[str, object]) -> object:
    """What a process last said of itself, unless it was another one, or ended without a word."""
    if pid is None:
        return said["state"] if said.get("state") in (_HALTED, "stopped") else "gone"
    return said["state"] if said.get("pid") == pid else "running"


def _shown(number: object) -> object:
    return "-" if number is None else number
