"""What one learned decision changes in the rows of the live views.

Rules:

1. A row remembers the last sequence that changed it, and takes every sequence once: a decision that is
   learned, delivered or recovered a second time changes nothing.
2. Activity is counted by the time at which a request was ordered, never by when it was learned or read.
3. Rows are bounded, or no changelog would take them: a namespace shows the records that were written last, long values
   by their length, and nothing of a longer name than `NAME_BYTES_MAX`. SQL has them all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypedDict

from schemas.feed import Learned, LearnedRequest, LearnedWrite

RECORDS_MAX = 500
"""Records shown of a namespace."""

VALUE_BYTES_MAX = 512
"""The longest value that is shown."""


NAME_BYTES_MAX = 1024
"""The longest name that is shown, of whatever it is; by default no ledger has a longer one."""


class NamespaceRow(TypedDict):
    """What happened in a namespace in one window: requests that wrote to it, and versions written."""

    requests: int
    writes: int
    deletions: int
    sequence: int


class EntityRow(TypedDict):
    """What an entity has done so far, and its last request."""

    requests: int
    failed: int
    contract: str
    status: str
    code: str
    sequence: int
    ordered_at_ms: int


class RecordRow(TypedDict):
    """A record's latest version; `value` is canonical JSON, None if it is deleted or too long to show."""

    version: int
    deleted: bool
    value: str | None
    value_bytes: int
    entity: str
    sequence: int
    ordered_at_ms: int


class RecordsRow(TypedDict):
    """The records of a namespace that were written last, by key, the newest at the end."""

    records: dict[str, RecordRow]
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The rows of one decision, as if there had been no other; entities and namespaces by name."""

    activity: Mapping[str, NamespaceRow]
    entities: Mapping[str, EntityRow]
    records: Mapping[str, RecordsRow]


def tally(learned: Learned) -> Tally:
    """Count what a decision did."""
    activity: dict[str, NamespaceRow] = {}
    entities: dict[str, EntityRow] = {}
    records: dict[str, RecordsRow] = {}
    sequence = learned.sequence
    for request in learned.requests:
        if not _are_short(request.entity, request.contract, request.code):
            continue
        _count_request(entities, learned, request)
        writes = [write for write in request.writes if _are_short(write.namespace, write.key)]
        for write in writes:
            nothing = NamespaceRow(requests=0, writes=0, deletions=0, sequence=sequence)
            row = activity.setdefault(write.namespace, nothing)
            row["writes"] += 1
            row["deletions"] += write.deleted
            newest = records.setdefault(write.namespace, RecordsRow(records={}, sequence=sequence))
            _put_last(newest["records"], ((write.key, _record_row(learned, request, write)),))
        for namespace in {write.namespace for write in writes}:
            activity[namespace]["requests"] += 1
    return Tally(activity=activity, entities=entities, records=records)


def _are_short(*names: str) -> bool:
    return all(len(name.encode()) <= NAME_BYTES_MAX for name in names)


def _count_request(entities: dict[str, EntityRow], learned: Learned, request: LearnedRequest) -> None:
    before = entities.get(request.entity)
    entities[request.entity] = EntityRow(
        requests=1 + (before["requests"] if before else 0),
        failed=(request.status == "failed") + (before["failed"] if before else 0),
        contract=request.contract,
        status=request.status,
        code=request.code,
        sequence=learned.sequence,
        ordered_at_ms=learned.ordered_at_ms,
    )


def _record_row(learned: Learned, request: LearnedRequest, write: LearnedWrite) -> RecordRow:
    is_shown = not write.deleted and len(write.value) <= VALUE_BYTES_MAX
    return RecordRow(
        version=write.version,
        deleted=write.deleted,
        value=write.value.decode(errors="replace") if is_shown else None,
        value_bytes=len(write.value),
        entity=request.entity,
        sequence=learned.sequence,
        ordered_at_ms=learned.ordered_at_ms,
    )


def _put_last(records: dict[str, RecordRow], rows: Iterable[tuple[str, RecordRow]]) -> None:
    """Put rows at the end, and forget those at the beginning that are too many."""
    for key, row in rows:
        records.pop(key, None)
        records[key] = row
    for _ in range(len(records) - RECORDS_MAX):
        del records[next(iter(records))]


# --- What is held, with a decision added; None where that has been counted ---


def add_activity(held: NamespaceRow | None, new: NamespaceRow) -> NamespaceRow | None:
    """A namespace's row of one window."""
    if held is None:
        return new
    if new["sequence"] <= held["sequence"]:
        return None
    return NamespaceRow(
        requests=held["requests"] + new["requests"],
        writes=held["writes"] + new["writes"],
        deletions=held["deletions"] + new["deletions"],
        sequence=new["sequence"],
    )


def add_entity(held: EntityRow | None, new: EntityRow) -> EntityRow | None:
    """An entity's row."""
    if held is None:
        return new
    if new["sequence"] <= held["sequence"]:
        return None
    added = new.copy()
    added["requests"] += held["requests"]
    added["failed"] += held["failed"]
    return added


def add_records(held: RecordsRow | None, new: RecordsRow) -> RecordsRow | None:
    """A namespace's newest records."""
    if held is None:
        return new
    if new["sequence"] <= held["sequence"]:
        return None
    records = dict(held["records"])
    _put_last(records, new["records"].items())
    return RecordsRow(records=records, sequence=new["sequence"])
