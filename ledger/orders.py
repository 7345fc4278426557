"""Reading an order: what can be judged of it without records, and what it says against itself.

Every judgement here is of bytes under the Auditor's signature, so what is wrong is the Auditor's fault.
"""

from dataclasses import dataclass

from ledger.state import CommitState
from protocol import merkle
from protocol.configuration import Epochs
from protocol.contracts.calls import Call, Read
from protocol.journal import FORMAT
from protocol.limits import Limits
from protocol.requests import (
    OpenedRequest,
    RequestError,
    TouchedRecords,
    call_of,
    check_times,
    open_request,
    records_of,
)
from protocol.signatures import SignatureCheck, order_input
from schemas.errors import MalformedMessageError
from schemas.leaves import envelope_of
from schemas.order import Order, OrderHeader
from schemas.statement import Decision
from storage.effects import Message
from storage.ports import RequestExpiry


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOrder:
    """An order that parses.

    Attributes:
        message: of the topic `orders`; None if it was taken from a decision.
    """

    message: Message | None
    order: Order
    header: OrderHeader

    def signature_check(self, epochs: Epochs) -> SignatureCheck:
        """The check of the Auditor's signature."""
        configuration = epochs.at(self.header.epoch)
        signed = order_input(epochs.ledger_id, self.header.epoch, self.order.header)
        return SignatureCheck(configuration.auditor_key, signed, self.order.signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Why an order must be refused.

    Attributes:
        code: one of the `order.*` codes.
        entry_index: the entry at fault, -1 for the header.
        earlier: of "order.repeated": the sequence, or the place in the same order, where the request stood before.
        reads: what the Ledger had read when it had to reject the request.
    """

    code: str
    entry_index: int
    text: str
    earlier: int | tuple[int, int] | None = None
    reads: tuple[Read, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedOrder:
    """An order whose entries are open: its requests, and the records it says they touch."""

    held: HeldOrder
    requests: tuple[OpenedRequest, ...]
    records: TouchedRecords

    def replay(self) -> tuple[RequestExpiry, ...]:
        """What to ask the replay guard."""
        return tuple(RequestExpiry(request.request_id, request.body.expiry_ms) for request in self.requests)

    def calls(self) -> tuple[Call, ...]:
        """What is to be executed."""
        return tuple(call_of(request) for request in self.requests)


def hold_order(message: Message, epochs: Epochs) -> HeldOrder | None:
    """Parse a message on `orders`; None if it is none of this ledger and epoch. Nothing of it is authentic
    yet.
    """
    try:
        order = Order.from_message(message.value or b"")
    except MalformedMessageError:
        return None
    return _hold(order, message, epochs)


def hold_decided_order(message: Message, epochs: Epochs) -> HeldOrder | None:
    """The order in a message on `decisions`, for a Ledger that lost what it had made of it: nobody sends an order
    again once it is decided. Nothing of it is authentic yet.
    """
    try:
        decision = Decision.from_message(message.value or b"")
    except MalformedMessageError:
        return None
    signed = decision.signed
    return _hold(Order(header=signed.header, entries=decision.entries, signature=signed.order_signature), None, epochs)


def _hold(order: Order, message: Message | None, epochs: Epochs) -> HeldOrder | None:
    try:
        header = OrderHeader.from_bytes(order.header)
    except MalformedMessageError:
        return None
    if (header.format, header.ledger_id, header.epoch) != (FORMAT, epochs.ledger_id, epochs.latest.epoch):
        return None
    if header.count != len(order.entries) or merkle.root(order.entries) != header.entries_root:
        return None  # entries are not under the signature unless the root says so: anybody could have put them there
    return HeldOrder(message=message, order=order, header=header)


def check_header(held: HeldOrder, state: CommitState) -> Contradiction | None:
    """What the header contradicts in the order before it, if anything."""
    header = held.header
    if header.previous_order_hash != state.order_hash:
        return Contradiction(code="order.predecessor", entry_index=-1, text="it does not name the order before it")
    if header.ordered_at_ms < state.ordered_at_ms:
        return Contradiction(code="order.time", entry_index=-1, text="ordered_at fell")
    if header.kind == "empty" and header.count:
        return Contradiction(code="order.malformed", entry_index=-1, text="an empty order with entries")
    return None


def open_order(held: HeldOrder, limits: Limits) -> OpenedOrder | Contradiction:
    """Open the entries of an authentic order.

    Of an entry only the envelope is read here: the Ledger makes its own entry and compares bytes.
    """
    requests: list[OpenedRequest] = []
    seen: dict[bytes, int] = {}
    for index, entry_bytes in enumerate(held.order.entries):
        try:
            request = open_request(envelope_of(entry_bytes), held.header.ledger_id, limits)
            check_times(request.body, held.header.ordered_at_ms, limits)
        except (MalformedMessageError, RequestError) as error:
            return Contradiction(code="order.malformed", entry_index=index, text=str(error))
        if request.body.after >= held.header.sequence:
            return Contradiction(code="order.not_after", entry_index=index, text=f"after {request.body.after}")
        if request.request_id in seen:
            earlier = (held.header.sequence, seen[request.request_id])
            text = "it stands twice in the order"
            return Contradiction(code="order.repeated", entry_index=index, text=text, earlier=earlier)
        seen[request.request_id] = index
        requests.append(request)
    return OpenedOrder(held=held, requests=tuple(requests), records=records_of(requests))
