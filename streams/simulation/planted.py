"""Bugs planted on purpose: each switches one protection off, to see that the simulation finds out.

A machine and its world meet in effects and events only, so a missing protection is a change of what the machine asks
for, or of what it is told.

Not here are the checks of records, ranges and store id in a call. Only one process at a time goes on from a sequence,
and the call checks that it is still there: whoever else had changed a record had moved the sequence, too. They are
a second line, and the store's own tests hold them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from auditor.order import OrderMachine
from auditor.validate import ValidateMachine
from ledger.commit import CommitMachine
from ledger.rebuild import RebuildMachine
from schemas.topics import DECISIONS, ORDERS, RESULTS
from storage.effects import (
    Applied,
    Apply,
    Effect,
    Event,
    Fetched,
    Note,
    Outbox,
    Publish,
    ReadOutbox,
    Refused,
    Report,
    Verified,
)
from storage.machine import Machine
from storage.ports import BUCKET_MS, OutboxTrim, StoreCall


@dataclass(slots=True)
class Life:
    """One machine from its start to its death, and what a bug remembers of it."""

    machine: Machine
    memory: set[Any] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """A protection that is switched off.

    Attributes:
        what: in a sentence.
        ask: what becomes of an effect before it is performed.
        answer: what becomes of the event that answers an effect.
        client_gives_up: clients send each request only once.
        provoked_by: the troubles under which it shows; any if there are none.
    """

    what: str
    ask: Callable[[Effect, Life], Effect] = lambda effect, _life: effect
    answer: Callable[[Event, Effect, Life], Event] = lambda event, _effect, _life: event
    client_gives_up: bool = False
    provoked_by: tuple[str, ...] = ()


# --- Calls that check or keep less than they should ---


def _call(machines: tuple[type[Machine], ...], change: Callable[[StoreCall, Life], StoreCall]) -> Any:
    def ask(effect: Effect, life: Life) -> Effect:
        if isinstance(effect, Apply) and isinstance(life.machine, machines):
            return Apply(call=change(effect.call, life))
        return effect

    return ask


def _without_cells(*names: str) -> Callable[[StoreCall, Life], StoreCall]:
    def change(call: StoreCall, _life: Life) -> StoreCall:
        kept = {name: value for name, value in call.expected_cells.items() if name not in names}
        return replace(call, expected_cells=kept)

    return change


def _unchecked_if_it_only_rejects(call: StoreCall, _life: Life) -> StoreCall:
    orders = any(entry.kind == "order" for entry in call.outbox_put)
    return call if orders else replace(call, expected_cells={})


def _trimmed_at_once(kind: str) -> Callable[[StoreCall, Life], StoreCall]:
    def change(call: StoreCall, _life: Life) -> StoreCall:
        newest = [entry.number for entry in call.outbox_put if entry.kind == kind]
        trims = [OutboxTrim(kind, number) for number in newest]
        return replace(call, outbox_trim=(*call.outbox_trim, *trims))

    return change


def _own_requests_only(effect: Effect, life: Life) -> Effect:
    if isinstance(effect, Apply) and isinstance(life.machine, OrderMachine):
        life.memory |= {entry.request_id for entry in effect.call.replay}
        return Apply(call=replace(effect.call, unseen=()))
    return effect


def _knows_own_requests_only(event: Event, _effect: Effect, life: Life) -> Event:
    if isinstance(event, Fetched) and isinstance(life.machine, OrderMachine):
        known = {id_: at for id_, at in event.replayed.items() if id_ in life.memory}
        return replace(event, replayed=known)
    return event


# --- Nothing is sent again ---


def _sent_once(topic: str) -> Callable[[Effect, Life], Effect]:
    """What stands in the topic's outbox is sent right after its call, and never again."""

    def ask(effect: Effect, life: Life) -> Effect:
        if isinstance(effect, Apply):
            life.memory = {"fresh"}
        if isinstance(effect, Publish) and any(message.topic == topic for message in effect.messages):
            if "fresh" not in life.memory:
                return Report(metrics={})
            life.memory = set()
        return effect

    return ask


def _forgets(kind: str) -> Callable[[Event, Effect, Life], Event]:
    def answer(event: Event, effect: Effect, _life: Life) -> Event:
        if isinstance(event, Outbox) and isinstance(effect, ReadOutbox) and effect.kind == kind:
            return replace(event, entries=())
        return event

    return answer


# --- What is believed without a check ---


def _unnoted(effect: Effect, _life: Life) -> Effect:
    return Report(metrics={}) if isinstance(effect, Note) else effect


def _every_signature_is_good(event: Event, _effect: Effect, _life: Life) -> Event:
    return replace(event, valid=(True,) * len(event.valid)) if isinstance(event, Verified) else event


def _refusals_are_ignored(event: Event, _effect: Effect, _life: Life) -> Event:
    return Applied(now_ms=event.now_ms, replay_entries=0) if isinstance(event, Refused) else event


_TWO_ACTIVE = ("zombie", "zombie at a call", "pause")
_DYING = ("tail lost", "crash at a call")

PLANTED: dict[str, Bug] = {
    "call without the sequence": Bug(
        what="The Auditor's call does not check that nobody else has ordered.",
        ask=_call((OrderMachine,), _without_cells("head", "order", "positions", "rejection")),
        provoked_by=_TWO_ACTIVE,
    ),
    "commit without the sequence": Bug(
        what="The Ledger's call does not check that nobody else has committed.",
        ask=_call((CommitMachine,), _without_cells("head")),
        provoked_by=_TWO_ACTIVE,
    ),
    "decision without the sequence": Bug(
        what="The Auditor's call does not check that nobody else has decided.",
        ask=_call((ValidateMachine,), _without_cells("decided")),
        provoked_by=_TWO_ACTIVE,
    ),
    "rejections without a check": Bug(
        what="A batch that only rejects checks nothing in the store.",
        ask=_call((OrderMachine,), _unchecked_if_it_only_rejects),
        provoked_by=_TWO_ACTIVE,
    ),
    "refusals ignored": Bug(
        what="A call that the store refused is taken for done.",
        answer=_refusals_are_ignored,
        provoked_by=("zombie at a call", "driver retries"),
    ),
    "replay guard per worker": Bug(
        what="Each ordering process remembers only the requests it has seen itself.",
        ask=_own_requests_only,
        answer=_knows_own_requests_only,
        provoked_by=("crash", "mischief"),
    ),
    "eviction by the clock": Bug(
        what="The replay guard is evicted by the clock of whoever orders, a minute early.",
        ask=_call((OrderMachine,), lambda call, life: replace(call, evict_before_ms=life.machine.now_ms + BUCKET_MS)),
        provoked_by=("clock turned", "crash", "mischief"),
    ),
    "rebuild without the replay guard": Bug(
        what="A rebuilt Ledger forgets which requests were decided.",
        ask=_call((RebuildMachine,), lambda call, _life: replace(call, replay=())),
        provoked_by=("ledger store lost",),
    ),
    "orders trimmed at once": Bug(
        what="An order leaves the outbox when the next one is made.",
        ask=_call((OrderMachine,), _trimmed_at_once("order")),
        provoked_by=_DYING,
    ),
    "decisions trimmed at once": Bug(
        what="A decision leaves the outbox when the broker has acknowledged it.",
        ask=_call((ValidateMachine,), _trimmed_at_once("decision")),
        provoked_by=_DYING,
    ),
    "client never sends again": Bug(
        what="A client sends each request once.", client_gives_up=True, provoked_by=("tail lost",)
    ),
    "orders sent once": Bug(
        what="Undecided orders are not sent again.", ask=_sent_once(ORDERS), provoked_by=_DYING
    ),
    "results sent once": Bug(
        what="Unverified results are not sent again.", ask=_sent_once(RESULTS), provoked_by=_DYING
    ),
    "decisions sent once": Bug(
        what="Decisions are not sent again.", ask=_sent_once(DECISIONS), provoked_by=_DYING
    ),
    "rejections sent once": Bug(
        what="A rejection batch that was not sent before a crash is forgotten.",
        answer=_forgets("rejections"),
        provoked_by=("crash at a call",),
    ),
    "signed without the guard": Bug(what="Nothing is noted before it is signed.", ask=_unnoted),
    "signatures not verified": Bug(
        what="Every signature is taken for good.", answer=_every_signature_is_good, provoked_by=("mischief",)
    ),
}
"""Every bug that can be planted, by name."""
