"""Executing one request again, on the records it read, each with its pin (PROTOCOL 4, "execution").

Rules:

1. The engine must be the one the epoch names, with the same answers to the known-answer suite; otherwise
   nobody is judged.
2. It runs with `RESOURCES_FACTOR` times the epoch's bounds. What exceeds even those is not judged.
3. What was ordered is judged first: an entry that does not say what the request reads and writes convicts the
   Auditor. Then the party whose outcome does not come out. If neither comes out, nobody is judged.
"""

from dataclasses import replace
from typing import NamedTuple

from protocol.batches import entry_of, outcome_of
from protocol.contracts.calls import Batch, Call, Execution, Rejected
from protocol.evidence.case import Case
from protocol.evidence.entries import open_entry_request
from protocol.evidence.exhibits import (
    ShownEntry,
    ShownOutcome,
    ShownStatement,
    show_decided_outcome,
    show_entry,
    show_leaf,
    show_statement,
)
from protocol.evidence.prestate import Prestate, show_prestate
from protocol.evidence.verdicts import AUDITOR, LEDGER, CannotJudgeError, NothingProvenError, Proven
from protocol.limits import Limits
from protocol.records import DamagedRecordError
from protocol.requests import OpenedRequest

RESOURCES_FACTOR = 8
"""How much wider a verifier's bounds are than the Auditor's; the Ledger's are four times as wide."""

_CERTAIN_REJECTIONS = frozenset(("entity.unknown", "entity.key_revoked", "contract.unknown"))
"""Codes that follow from the records read alone."""


class Repeated(NamedTuple):
    """What executing again gave, in the bytes that the parties sign."""

    entry: bytes
    outcome: bytes


def judge_execution(case: Case) -> Proven:
    """Two statements about one order with different outcomes of one entry: whose comes out?"""
    by_ledger = show_statement(case, "ledger statement", "ledger")
    by_auditor = show_statement(case, "auditor statement", "auditor")
    ledger_leaf = show_leaf(case.part("ledger leaf"), by_ledger.statement)
    auditor_leaf = show_leaf(case.part("auditor leaf"), by_auditor.statement)
    entry = show_entry(case, case.part("entry"))
    _require_dispute(entry, (by_ledger, ledger_leaf), (by_auditor, auditor_leaf))
    own_pins = _own_pins(case, entry, by_ledger, by_auditor)
    repeated = _repeat(case, entry, own_pins)
    named = f"entry {entry.index} of order {entry.place[0]}"
    if isinstance(repeated, Rejected):
        return _judge_rejected(repeated, named)
    if repeated.entry != entry.entry_bytes:
        return Proven(AUDITOR, f"{named} does not say what its request reads and writes")
    if repeated.outcome == auditor_leaf.outcome_bytes:
        return Proven(LEDGER, f"its outcome of {named} does not come out when it is executed again")
    if repeated.outcome == ledger_leaf.outcome_bytes:
        return Proven(AUDITOR, f"its outcome of {named} does not come out when it is executed again")
    raise CannotJudgeError(f"neither party's outcome of {named} comes out")


def judge_ordered_execution(case: Case) -> Proven:
    """An entry that does not say what its request reads and writes; nobody's outcome is asked for."""
    entry = show_entry(case, case.part("entry"))
    repeated = _repeat(case, entry, ())
    named = f"entry {entry.index} of order {entry.place[0]}"
    if isinstance(repeated, Rejected):
        return _judge_rejected(repeated, named)
    if repeated.entry == entry.entry_bytes:
        raise NothingProvenError("the entry says what its request reads and writes")
    return Proven(AUDITOR, f"{named} does not say what its request reads and writes")


def _judge_rejected(rejected: Rejected, named: str) -> Proven:
    if rejected.code not in _CERTAIN_REJECTIONS:
        raise CannotJudgeError(f"{named} is rejected here: {rejected.code}")
    return Proven(AUDITOR, f"{named} had to be rejected: {rejected.code}")


def _require_dispute(
    entry: ShownEntry,
    by_ledger: tuple[ShownStatement, ShownOutcome],
    by_auditor: tuple[ShownStatement, ShownOutcome],
) -> None:
    """Require that both parties speak of this entry, and say different things."""
    for shown, leaf in (by_ledger, by_auditor):
        if shown.statement.order_hash != entry.order.order_hash or leaf.index != entry.index:
            raise NothingProvenError("a party's leaf is of another order or place")
    if by_ledger[1].outcome_bytes == by_auditor[1].outcome_bytes:
        raise NothingProvenError("both parties signed the same outcome")


def _own_pins(
    case: Case, entry: ShownEntry, by_ledger: ShownStatement, by_auditor: ShownStatement
) -> tuple[ShownOutcome, ...]:
    """Earlier leaves of the same batch, byte-equal under both roots."""
    ledger_pins = [show_leaf(data, by_ledger.statement) for data in case.parts("ledger pin")]
    auditor_pins = [show_leaf(data, by_auditor.statement) for data in case.parts("auditor pin")]
    if ledger_pins != auditor_pins or any(pin.index >= entry.index for pin in ledger_pins):
        raise NothingProvenError("a pin in the same batch is not an earlier leaf that both signed alike")
    return tuple(ledger_pins)


def _repeat(case: Case, entry: ShownEntry, own_pins: tuple[ShownOutcome, ...]) -> Repeated | Rejected:
    """Execute the request of an entry again."""
    pins = [show_decided_outcome(case, data) for data in case.parts("pin")]
    prestate = show_prestate(case, entry.entry, entry.place[0], pins, own_pins)
    request = open_entry_request(case, entry)
    result = _execute(case, entry, request, prestate)
    if isinstance(result, Rejected):
        return result
    return Repeated(entry_of(request, result).to_bytes(), outcome_of(request, result).to_bytes())


def _execute(case: Case, entry: ShownEntry, request: OpenedRequest, prestate: Prestate) -> Execution | Rejected:
    header = entry.order.header
    engine = case.engine
    if engine is None:
        raise CannotJudgeError("this verifier has no contract engine")
    configuration = case.configuration(header.epoch)
    if (engine.version, engine.answers) != (configuration.engine_version, configuration.engine_answers):
        raise CannotJudgeError(f"the epoch's contract engine is {configuration.engine_version}")
    batch = Batch(
        ledger_id=case.ledger_id,
        sequence=header.sequence,
        ordered_at_ms=header.ordered_at_ms,
        calls=(call_of(request),),
        records=prestate.current,
        first_index=entry.index,
    )
    try:
        results = engine.execute(batch, prestate, widened(case.limits(header.epoch)))
    except CannotJudgeError:
        raise
    except DamagedRecordError as error:
        raise NothingProvenError(f"the records shown do not do: {error}") from error
    except Exception as error:  # an engine is somebody else's code, and what it runs is a stranger's
        raise CannotJudgeError(f"the engine broke down: {type(error).__name__}") from error
    if len(results) != 1:
        raise CannotJudgeError("the request was not executed to its end")
    return results[0]


def call_of(request: OpenedRequest) -> Call:
    """A request as the execution sees it."""
    body = request.body
    return Call(
        request_id=request.request_id,
        entity=body.entity,
        key_version=body.key_version,
        contract=body.contract,
        contract_version=body.contract_version,
        argument=body.argument,
    )


def widened(limits: Limits) -> Limits:
    """The limits of an epoch with wider bounds for what no outcome depends on."""
    return replace(
        limits,
        contract_steps=RESOURCES_FACTOR * limits.contract_steps,
        contract_memory_bytes=RESOURCES_FACTOR * limits.contract_memory_bytes,
        contract_cpu_ms=RESOURCES_FACTOR * limits.contract_cpu_ms,
    )
