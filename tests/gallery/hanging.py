"""How a misdeed is made and hung in the gallery."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from protocol.configuration import Epochs
from protocol.evidence import build
from protocol.evidence.local_engine import LocalEngine
from protocol.evidence.verdicts import AUDITOR, Culprit, Finding, Verdict
from protocol.evidence.verify import verify_evidence
from protocol.records import RecordKey
from schemas.evidence import Evidence, Part
from schemas.order import Entry, Order
from schemas.outcome import Outcome, ReadPin
from schemas.statement import Decision, Result
from tests.worlds import World

A = RecordKey("object", "a")


@dataclass(frozen=True)
class Exhibit:
    """A file of evidence, and whom it convicts of what.

    Attributes:
        known: configurations that the reader has beside those in the file.
    """

    evidence: Evidence
    epochs: Epochs
    culprit: Culprit
    finding: Finding = Finding.GUILTY


GALLERY: dict[str, Callable[[], Exhibit]] = {}


def exhibit(make: Callable[[], Exhibit]) -> Callable[[], Exhibit]:
    """Hang a misdeed in the gallery."""
    GALLERY[make.__name__] = make
    return make


def started() -> World:
    """A world where object "a" has two versions, written at sequences 0 and 1."""
    world = World()
    world.decide(world.put("a", 1), world.put("b", 1))
    world.decide(world.put("a", 2))
    return world


def order_of(world: World, sequence: int) -> Order:
    """A decided order."""
    return build.order_of(world.decisions[sequence])


def result_of(decision: Decision) -> Result:
    """The Ledger's part of a decision."""
    signed = decision.signed
    return Result(
        statement=signed.statement,
        order_signature=signed.order_signature,
        ledger_signature=signed.ledger_signature,
        outcomes=decision.outcomes,
    )


def alter_entry(order: Order, index: int, /, **changes: Any) -> tuple[bytes, ...]:
    """The entries of an order, one of them altered."""
    entries = list(order.entries)
    entries[index] = replace(Entry.from_bytes(entries[index]), **changes).to_bytes()
    return tuple(entries)


def alter_read(order: Order, index: int, key: RecordKey, **changes: Any) -> tuple[bytes, ...]:
    """The entries of an order, one read of one of them altered."""
    entry = Entry.from_bytes(order.entries[index])
    reads = tuple(read._replace(**changes) if (read.namespace, read.key) == key else read for read in entry.reads)
    assert reads != entry.reads
    return alter_entry(order, index, reads=reads)


def alter_outcome(outcomes: tuple[bytes, ...], index: int, /, **changes: Any) -> tuple[bytes, ...]:
    """Outcomes, one of them altered."""
    altered = list(outcomes)
    altered[index] = replace(Outcome.from_bytes(altered[index]), **changes).to_bytes()
    return tuple(altered)


def alter_pin(outcome_bytes: bytes, key: RecordKey, record_hash: bytes) -> tuple[ReadPin, ...]:
    """The reads of an outcome, one hash altered."""
    reads = Outcome.from_bytes(outcome_bytes).reads
    altered = tuple(
        read._replace(record_hash=record_hash) if (read.namespace, read.key) == key else read for read in reads
    )
    assert altered != reads
    return altered


def contradiction(world: World, code: str, **parts: bytes) -> Exhibit:
    """An order contradiction; part names with `_` for spaces."""
    named = [(name.replace("_", " "), data) for name, data in parts.items()]
    return Exhibit(build.order_contradiction(world.epochs, code, named), world.epochs, AUDITOR)


@cache
def engine() -> LocalEngine:
    """The engine of this process; it has answered the known-answer suite once."""
    return LocalEngine()


def judge(evidence: Evidence, epochs: Epochs, **named: Any) -> Verdict:
    """The verdict of a reader who means this ledger."""
    return verify_evidence(evidence.to_bytes(), epochs.ledger_id, engine(), **named)


def part_of(evidence: Evidence, name: str) -> bytes:
    """The first part of this name."""
    return next(part.data for part in evidence.parts if part.name == name)


def with_part(evidence: Evidence, name: str, data: bytes) -> Evidence:
    """The same file with the first part of this name replaced."""
    parts = list(evidence.parts)
    index = [part.name for part in parts].index(name)
    parts[index] = Part(name, data)
    return replace(evidence, parts=tuple(parts))


def without_part(evidence: Evidence, name: str) -> Evidence:
    """The same file without the first part of this name."""
    parts = list(evidence.parts)
    del parts[[part.name for part in parts].index(name)]
    return replace(evidence, parts=tuple(parts))


def with_another(evidence: Evidence, name: str, data: bytes) -> Evidence:
    """The same file with one more part."""
    return replace(evidence, parts=(*evidence.parts, Part(name, data)))
