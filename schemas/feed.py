"""Unsigned messages for eyes and views: what a process measured, and what a learner learned."""

from dataclasses import dataclass
from typing import NamedTuple

from schemas.codec import Message, Rows
from schemas.outcome import Status


class Measure(NamedTuple):
    """One measured value."""

    name: str
    value: float


class LearnedWrite(NamedTuple):
    """A record version as learned; `value` is canonical JSON, empty for a deletion."""

    namespace: str
    key: str
    version: int
    deleted: bool
    value: bytes


class LearnedRequest(NamedTuple):
    """A decided request as learned."""

    request_id: bytes
    entity: str
    contract: str
    status: Status
    code: str
    writes: tuple[LearnedWrite, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics(Message, schema="metrics", nested={"values": Rows(Measure)}):
    """What one process measured since it started; for dashboards only."""

    role: str
    instance: str
    at_ms: int
    values: tuple[Measure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned(Message, schema="learned", nested={"requests": Rows(LearnedRequest, writes=Rows(LearnedWrite))}):
    """A verified decision as a learner hands it on; in the learner's own trust domain."""

    ledger_id: bytes
    sequence: int
    ordered_at_ms: int
    learned_at_ms: int
    requests: tuple[LearnedRequest, ...]
