"""The reference twin: executes every batch once, in sequence, in plain Python, and compares.

It takes what is written into an update (the Auditor's header, entries and outcomes) and holds it against its
own records and the rules of PROTOCOL 2 and 3: I1 (outcomes are those of executing the journal so far), I3
(a request is decided once) and I4 (nothing is placed before what its client had seen).
"""

import json
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from protocol import merkle
from protocol.hashing import ZERO_HASH, tagged
from protocol.records import RecordKey, record_hash
from protocol.requests import OpenedRequest, open_request
from protocol.signatures import commitment, order_hash, statement_hash
from schemas.order import Entry, OrderHeader
from schemas.outcome import Outcome, ReadPin, RowPin, ScanPins
from schemas.statement import Statement, Update
from streams.simulation.founding import Founding
from streams.simulation.twin_contracts import CONTRACTS, Caller, Failed, Json, canonical


class Violation(Exception):  # noqa: N818  # what a simulation looks for
    """An invariant does not hold."""


def require(holds: bool, text: str) -> None:
    """Raise unless an invariant holds.

    Raises:
        Violation: it does not.
    """
    if not holds:
        raise Violation(text)


class TwinVersion(NamedTuple):
    """A version of a record: a value as canonical JSON, None where deleted, and who wrote it."""

    value: bytes | None
    record_hash: bytes
    writer_sequence: int
    writer_index: int


NOTHING = TwinVersion(None, ZERO_HASH, -1, -1)


@dataclass(frozen=True, slots=True)
class TwinHead:
    """Where the journal stands."""

    sequence: int = -1
    order_hash: bytes = ZERO_HASH
    ordered_at_ms: int = 0


class _View:
    """The records as one call sees them; see `twin_contracts.State`."""

    def __init__(self, twin: "Twin") -> None:
        self._twin = twin
        self.pending: dict[RecordKey, Json] = {}

    def get(self, namespace: str, key: str) -> Json:
        where = RecordKey(namespace, key)
        if where in self.pending:
            return self.pending[where]
        return _parsed(self._twin.current(where).value)

    def put(self, namespace: str, key: str, value: Json) -> None:
        self.pending[RecordKey(namespace, key)] = value

    def rows(self, namespace: str, start: str, end: str, limit: int) -> list[tuple[str, Json]]:
        names = self._twin.names(namespace, start, end, limit)
        return [(name, _parsed(self._twin.current(RecordKey(namespace, name)).value)) for name in names]

    def history(self, namespace: str, key: str, limit: int) -> list[tuple[int, Json]]:
        versions = self._twin.records.get(RecordKey(namespace, key), [])
        newest = list(enumerate(versions, start=1))[::-1][:limit]
        return [(number, _parsed(version.value)) for number, version in newest]


class Twin:
    """The ledger as it should be.

    Attributes:
        records: every version of every record, version 1 first.
        journal: the hash of every statement.
        decided: where each request was decided.
        requests: every request of the journal, by its id.
    """

    def __init__(self, founding: Founding) -> None:
        self._founding = founding
        self._ledger_id = founding.epochs.ledger_id
        self._names: defaultdict[str, list[str]] = defaultdict(list)
        self.records: dict[RecordKey, list[TwinVersion]] = {}
        self.journal: list[bytes] = []
        self.head = TwinHead()
        self.decided: dict[bytes, int] = {}
        self.requests: dict[bytes, OpenedRequest] = {}
        for key, record in founding.records:
            self._add(key, TwinVersion(record.value, record.record_hash, -1, record.writer_index))

    # --- Records ---

    def current(self, key: RecordKey) -> TwinVersion:
        """The current version of a record."""
        versions = self.records.get(key)
        return versions[-1] if versions else NOTHING

    def names(self, namespace: str, start: str, end: str, limit: int) -> list[str]:
        """The first keys ever written in a range."""
        names = self._names[namespace]
        first = bisect_left(names, start)
        last = bisect_left(names, end) if end else len(names)
        return names[first : min(last, first + limit)]

    def _add(self, key: RecordKey, version: TwinVersion) -> None:
        if key not in self.records:
            insort(self._names[key.namespace], key.key)
        self.records.setdefault(key, []).append(version)

    # --- Executing ---

    def execute(self, update_bytes: bytes) -> None:
        """Execute the next batch and compare everything in its update.

        Raises:
            Violation: something in it is not as it should be.
        """
        update = Update.from_bytes(update_bytes)
        statement = Statement.from_bytes(update.statement)
        header = OrderHeader.from_bytes(update.header)
        self._check_header(update, header)
        self._check_statement(update, statement, header)
        values = iter(update.values)
        for index, parts in enumerate(zip(update.entries, update.outcomes, update.outputs, strict=True)):
            self._execute_one(header, index, parts, values)
        require(next(values, None) is None, f"I1: update {header.sequence} has more values than writes")
        self.journal.append(statement_hash(update.statement))
        self.head = TwinHead(header.sequence, order_hash(update.header), header.ordered_at_ms)

    def _check_header(self, update: Update, header: OrderHeader) -> None:
        at = f"order {header.sequence}"
        require(header.sequence == self.head.sequence + 1, f"{at} comes after {self.head.sequence}")
        require(header.previous_order_hash == self.head.order_hash, f"{at} does not name its predecessor")
        require(header.ordered_at_ms >= self.head.ordered_at_ms, f"{at}: ordered_at fell")
        require(header.entries_root == merkle.root(update.entries), f"{at}: entries_root")
        require(header.count == len(update.entries) == len(update.outcomes), f"{at}: count")
        require((header.kind == "empty") == (header.count == 0), f"{at} of kind {header.kind}")
        opened = commitment(update.salt, merkle.root(update.outcomes))
        require(header.commitment == opened, f"{at}: its commitment does not open")

    def _check_statement(self, update: Update, statement: Statement, header: OrderHeader) -> None:
        expected = Statement(
            format=1,
            ledger_id=self._ledger_id,
            epoch=0,
            sequence=header.sequence,
            order_hash=order_hash(update.header),
            outcomes_root=merkle.root(update.outcomes),
            count=len(update.outcomes),
            ordered_at_ms=header.ordered_at_ms,
            kind=header.kind,
            previous_statement_hash=self.journal[-1] if self.journal else ZERO_HASH,
            journal_root=merkle.root(self.journal),
        )
        require(statement == expected, f"statement {header.sequence} is {statement}, should be {expected}")

    def _execute_one(
        self, header: OrderHeader, index: int, parts: tuple[bytes, bytes, bytes], values: Iterator[bytes]
    ) -> None:
        entry, outcome = Entry.from_bytes(parts[0]), Outcome.from_bytes(parts[1])
        request = open_request(entry.envelope, self._ledger_id, self._founding.limits)
        at = f"request {request.request_id.hex()[:8]} ({header.sequence}, {index})"
        self._check_request(header, request, at)
        require(entry.index == outcome.index == index, f"I1: {at}: index")
        expected, writes = self._expected(request, outcome, parts[2])
        require(outcome == expected, f"I1: {at}: {outcome} should be {expected}")
        require([tuple(read) for read in entry.reads] == [read[:5] for read in outcome.reads], f"{at}: reads")
        self._check_reads(outcome, at)
        for key, value in writes.items():
            self._write(header, outcome, key, value, values, at)
        self.decided[request.request_id] = header.sequence
        self.requests[request.request_id] = request

    def _check_request(self, header: OrderHeader, request: OpenedRequest, at: str) -> None:
        body, at_ms = request.body, header.ordered_at_ms
        earlier = self.decided.get(request.request_id)
        require(earlier is None, f"I3: {at} was decided at {earlier} before")
        require(body.after < header.sequence, f"I4: {at} was placed before {body.after}, which it follows")
        limit = at_ms + self._founding.limits.expiry_ahead_ms
        require(body.not_before_ms <= at_ms <= body.expiry_ms <= limit, f"{at}: ordered out of its time")
        key = self.current(RecordKey("sys", f"entity/{body.entity}/key/{body.key_version}"))
        require(key.value is not None, f"{at}: its entity is unknown")
        require(_parsed(key.value)["status"] == "active", f"{at}: its key was revoked")

    def _expected(
        self, request: OpenedRequest, outcome: Outcome, output: bytes
    ) -> tuple[Outcome, dict[RecordKey, Json]]:
        """The outcome as it should be, reads aside, and what the call writes."""
        body = request.body
        require(body.contract in CONTRACTS, f"{body.contract} is unknown, or has no end, and was ordered")
        view = _View(self)
        status, code, text, given = "ok", "", "", b""
        try:
            caller = Caller(body.entity, body.key_version)
            given = canonical(CONTRACTS[body.contract](view, caller, _parsed(body.argument)))
        except Failed as failure:
            status, code, text = "failed", failure.code, failure.text
            view.pending = {}
        require(output == given, f"I1: output {output!r} should be {given!r}")
        expected = replace(
            outcome,
            request_id=request.request_id,
            entity=body.entity,
            key_version=body.key_version,
            contract=body.contract,
            contract_version=body.contract_version,
            status="ok" if status == "ok" else "failed",
            code=code,
            fail_text=text[: self._founding.limits.fail_text_bytes],
            output_hash=tagged("output", given),
        )
        written = [(write.namespace, write.key) for write in outcome.writes]
        require(written == [tuple(key) for key in view.pending], f"I1: {body.contract} wrote {written}")
        return expected, view.pending

    def _check_reads(self, outcome: Outcome, at: str) -> None:
        """Everything read or scanned was current, and what had to be read was."""
        for read in outcome.reads:
            key = RecordKey(read.namespace, read.key)
            require(read == self._pin(key), f"I1: {at} read {read}, current is {self._pin(key)}")
        read_keys = {RecordKey(read.namespace, read.key) for read in outcome.reads}
        needed = {
            RecordKey("sys", f"entity/{outcome.entity}/key/{outcome.key_version}"),
            RecordKey("sys", f"contract/{outcome.contract}/{outcome.contract_version}"),
            *(RecordKey(write.namespace, write.key) for write in outcome.writes),
        }
        require(needed <= read_keys, f"I1: {at} did not read {needed - read_keys}")
        for scan in outcome.scans:
            require(scan == self._scan(scan), f"I1: {at} saw {scan}, there is {self._scan(scan)}")
        require((outcome.contract == "tally") == bool(outcome.scans), f"I1: {at}: scans")

    def _pin(self, key: RecordKey) -> ReadPin:
        now = self.current(key)
        return ReadPin(*key, len(self.records.get(key, ())), now.writer_sequence, now.writer_index, now.record_hash)

    def _scan(self, scan: ScanPins) -> ScanPins:
        names = self.names(scan.namespace, scan.start, scan.end, scan.limit)
        rows = tuple(RowPin(name, *self._pin(RecordKey(scan.namespace, name))[2:]) for name in names)
        exhausted = len(names) < scan.limit
        return scan._replace(covered_to=scan.end if exhausted else names[-1], exhausted=exhausted, rows=rows)

    def _write(
        self, header: OrderHeader, outcome: Outcome, key: RecordKey, value: Json, values: Iterator[bytes], at: str
    ) -> None:
        data = None if value is None else canonical(value)
        before, version = self.current(key), len(self.records.get(key, ())) + 1
        hashed = record_hash(
            self._ledger_id, key, version, data is None, data or b"", outcome.request_id, before.record_hash
        )
        pin = next(write for write in outcome.writes if (write.namespace, write.key) == tuple(key))
        require(pin[2:] == (version, data is None, hashed), f"I1: {at} wrote {pin}")
        stored = next(values, None)
        require(stored == (data or b""), f"I1: {at} wrote {stored!r}, should be {data!r}")
        self._add(key, TwinVersion(data, hashed, header.sequence, outcome.index))


def _parsed(value: bytes | None) -> Json:
    return None if value is None else json.loads(value)
