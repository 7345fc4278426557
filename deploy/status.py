"""What `status` finds: processes, how far each stage is, what is suspected and what is exposed.

*Suspected* is silence or lag; it never convicts. *Exposed* is a party or replica that checkable evidence
names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.deployment import Deployment
from deploy.initialize import CLIENT
from schemas.topics import topic_table
from streams.kafka_admin import KafkaAdmin

_HALTED = "halted"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStatus:
    """The state of a deployment.

    Attributes:
        processes: name, pid, state and address of each.
        topics: messages per topic.
        halted: role, code, text and remedy of those that stopped by themselves.
    """

    processes: Sequence[Mapping[str, Any]]
    topics: Mapping[str, int]
    halted: Sequence[Mapping[str, Any]]

    def process_rows(self) -> list[tuple[object, ...]]:
        """For a table."""
        return [(p["name"], p["pid"] or "-", p["state"], p["address"]) for p in self.processes]

    def topic_rows(self) -> list[tuple[object, ...]]:
        """For a table."""
        return list(self.topics.items())

    def findings(self) -> list[str]:
        """What a person should look at."""
        lines = [
            f"[red]halted[/red] {each['role']}: {each['code']}: {each['text']} {each['remedy']}" for each in self.halted
        ]
        dead = [p["name"] for p in self.processes if p["pid"] is None]
        lines += [f"[yellow]not running[/yellow] {name}" for name in dead]
        if self.topics.get("evidence"):
            lines.append("[red]evidence was raised[/red]: countersign evidence list")
        return lines or ["[green]no findings[/green]"]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {"processes": list(self.processes), "topics": dict(self.topics), "halted": list(self.halted)}


def ledger_status(deployment: Deployment) -> LedgerStatus:
    """Look at a deployment's processes and topics.

    Raises:
        CountersignError: `config.missing`, there is no ledger; `broker.unreachable`, it runs without its
            broker.
    """
    configuration = deployment.home.load(CLIENT)
    epochs = configuration.epochs()
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
    topics: dict[str, int] = {}
    if services:
        table = topic_table(configuration.partitions, epochs.latest.n)
        for (name, _), extent in KafkaAdmin(configuration.connection()).extents(table).items():
            topics[name] = topics.get(name, 0) + extent.end - extent.first
    halted = [
        {"role": role, "code": values.get("code"), "text": values.get("text"), "remedy": values.get("remedy", "")}
        for role, values in said.items()
        if values.get("state") == _HALTED
    ]
    return LedgerStatus(processes=processes, topics=topics, halted=halted)


def _state(pid: int | None, said: Mapping[str, object]) -> object:
    """What a process last said of itself, unless it was another one, or ended without a word."""
    if pid is None:
        return said["state"] if said.get("state") in (_HALTED, "stopped") else "gone"
    return said["state"] if said.get("pid") == pid else "running"
