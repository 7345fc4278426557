"""Order contradictions that one entry or header makes by itself: its request, its times, its client's key.

Everything here is judged by the limits of the order's own epoch and by the `ordered_at` it was signed with,
as the Auditor had to judge it before it ordered.
"""

from protocol.canonical_json import NotCanonicalError, loads
from protocol.contracts.names import public_key_key
from protocol.evidence.case import Case
from protocol.evidence.contradictions import genesis_of, versions_read
from protocol.evidence.exhibits import ShownEntry, show_decided_outcome, show_entry, show_order
from protocol.evidence.pins import hash_of_write, show_record
from protocol.evidence.verdicts import AUDITOR, NothingProvenError, Proven
from protocol.records import Record, RecordKey
from protocol.requests import OpenedRequest, RequestError, check_times, open_request, public_key_of
from schemas.epoch import PublicKey
from schemas.errors import MalformedMessageError


def open_entry_request(case: Case, shown: ShownEntry) -> OpenedRequest:
    """The request of an entry.

    Raises:
        MalformedMessageError, RequestError: it cannot be one.
    """
    header = shown.order.header
    return open_request(shown.entry.envelope, header.ledger_id, case.limits(header.epoch))


def judge_malformed_entry(case: Case) -> Proven:
    """A leaf under the order's root that is no entry, has another index, or no request of this ledger."""
    shown = show_entry(case, case.part("entry"))
    try:
        if shown.entry.index != shown.index:
            return Proven(AUDITOR, f"entry {shown.index} of order {shown.place[0]} says it is {shown.entry.index}")
        open_entry_request(case, shown)
    except (MalformedMessageError, RequestError) as error:
        return Proven(AUDITOR, f"entry {shown.index} of order {shown.place[0]} is none: {error}")
    raise NothingProvenError("the entry is well formed")


def judge_malformed_order(case: Case) -> Proven:
    """A header that contradicts itself."""
    header = show_order(case, case.part("order")).header
    if header.count < 0 or (header.kind == "empty" and header.count > 0):
        return Proven(AUDITOR, f"order {header.sequence} is {header.kind} with {header.count} entries")
    raise NothingProvenError("the header is well formed")


def judge_time(case: Case) -> Proven:
    """A request that was ordered outside its time."""
    shown = show_entry(case, case.part("entry"))
    request = open_entry_request(case, shown)
    header = shown.order.header
    try:
        check_times(request.body, header.ordered_at_ms, case.limits(header.epoch))
    except RequestError as error:
        return Proven(AUDITOR, f"entry {shown.index} of order {header.sequence}: {error}")
    raise NothingProvenError("the request was ordered in its time")


def judge_not_after(case: Case) -> Proven:
    """A request that was ordered before what its client had seen."""
    shown = show_entry(case, case.part("entry"))
    after = open_entry_request(case, shown).body.after
    if after < shown.place[0]:
        raise NothingProvenError("the request was ordered after what its client had seen")
    return Proven(AUDITOR, f"entry {shown.index} of order {shown.place[0]} is to come after sequence {after}")


def judge_client(case: Case) -> Proven:
    """A request that its entity's key did not sign, whose key was revoked, or for which no key was read."""
    shown = show_entry(case, case.part("entry"))
    request = open_entry_request(case, shown)
    body = request.body
    where = public_key_key(body.entity, body.key_version)
    named = f"entry {shown.index} of order {shown.place[0]}"
    reads = [read for read in versions_read(shown.entry) if read.key == where]
    if not case.has("key") and not case.has("key pin"):
        if not reads:
            return Proven(AUDITOR, f"{named} does not read the key of {body.entity}")
        if any(read.version == 0 for read in reads):
            return Proven(AUDITOR, f"{named} is of {body.entity}, who had no key {body.key_version}")
    record = _key_record(case, where)
    if (record.version, (record.writer_sequence, record.writer_index)) not in [(r.version, r.writer) for r in reads]:
        raise NothingProvenError("the entry does not read this version of the key")
    key = _active_key(record)
    if key is None:
        return Proven(AUDITOR, f"{named} was signed with a revoked key of {body.entity}")
    if not case.verifies(request.signature_check(key)):
        return Proven(AUDITOR, f"{named} was not signed by {body.entity}")
    raise NothingProvenError("the client signed the request with a valid key")


def _active_key(record: Record) -> PublicKey | None:
    """The key in a registry record, None if it was revoked."""
    if record.deleted:
        return None
    try:
        value = loads(record.value)
        if not isinstance(value, dict):
            raise NothingProvenError("the key's record is none")
        return public_key_of(record) if value["status"] == "active" else None
    except (NotCanonicalError, KeyError, TypeError, ValueError) as error:
        raise NothingProvenError(f"the key's record is none: {error}") from error


def _key_record(case: Case, where: RecordKey) -> Record:
    """The key's record: of the genesis, or shown with the leaf that wrote it."""
    if not case.has("key"):
        record = genesis_of(case.epochs.genesis, case.ledger_id).get(where)
        if record is None:
            raise NothingProvenError("the key's record is missing")
        return record
    key, record = show_record(case, case.part("key"))
    pin = show_decided_outcome(case, case.part("key pin"))
    if key != where or hash_of_write(pin, key, record.version) != record.record_hash:
        raise NothingProvenError("the record shown is not the one that was written")
    return record._replace(writer_sequence=pin.sequence, writer_index=pin.index)
