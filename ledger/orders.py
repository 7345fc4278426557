"""Reading an order: what can be judged of it without records, and what it says against itself.

Every judgement here is of bytes under the Auditor's signature, so what is wrong is the Auditor's fault.
"""

from dataclasses import dataclass

from ledger.state import CommitState
from protocol import merkle
from protocol.configuration import Epochs
from protocol.contracts.calls import Call
from protocol.limits import Limits
from protocol.records import RecordKey
from protocol.requests import OpenedRequest, RequestError, check_times, open_request
from protocol.signatures import SignatureCheck, order_input
from schemas.errors import MalformedMessageError
from schemas.order import Entry, Order, OrderHeader
from storage.effects import Message
from storage.ports import RequestExpiry


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOrder:
    """An order that parses, with the message it came in."""

    message: Message
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
    """

    code: str
    entry_index: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedOrder:
    """An order whose entries are open: its requests, and the records it says they touch."""

    held: HeldOrder
    requests: tuple[OpenedRequest, ...]
    records: tuple[RecordKey, ...]

    def replay(self) -> tuple[RequestExpiry, ...]:
        """What to ask the replay guard."""
        return tuple(RequestExpiry(request.request_id, request.body.expiry_ms) for request in self.requests)

    def calls(self) -> tuple[Call, ...]:
        """What is to be executed."""
        return tuple(
            Call(
                request_id=request.request_id,
                entity=request.body.entity,
                key_version=request.body.key_version,
                contract=request.body.contract,
                contract_version=request.body.contract_version,
                argument=request.body.argument,
            )
            for request in self.requests
        )


def hold_order(message: Message, epochs: Epochs) -> HeldOrder | None:
    """Parse a message on `orders`; None if it is none of this ledger and epoch. Nothing of it is authentic yet."""
    try:
        order = Order.from_message(message.value or b"")
        header = OrderHeader.from_bytes(order.header)
    except MalformedMessageError:
        return None
    if header.ledger_id != epochs.ledger_id or header.epoch != epochs.latest.epoch:
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

    Entries are not required to be in their one form here: the Ledger makes its own and compares bytes.
    """
    requests: list[OpenedRequest] = []
    records: dict[RecordKey, None] = {}
    seen: set[bytes] = set()
    for index, entry_bytes in enumerate(held.order.entries):
        try:
            entry = Entry.from_compared(entry_bytes)
            request = open_request(entry.envelope, held.header.ledger_id, limits)
            check_times(request.body, held.header.ordered_at_ms, limits)
        except (MalformedMessageError, RequestError) as error:
            return Contradiction(code="order.malformed", entry_index=index, text=str(error))
        if request.body.after >= held.header.sequence:
            return Contradiction(code="order.not_after", entry_index=index, text=f"after {request.body.after}")
        if request.request_id in seen:
            return Contradiction(code="order.repeated", entry_index=index, text="it stands twice in the order")
        seen.add(request.request_id)
        requests.append(request)
        for read in entry.reads:
            records[RecordKey(read.namespace, read.key)] = None
    return OpenedOrder(held=held, requests=tuple(requests), records=tuple(records))
