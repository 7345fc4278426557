"""How somebody who has a party's key, or only the broker's place, makes a stage's messages false."""

from collections.abc import Callable, Iterable

from protocol.records import RecordKey
from schemas.errors import MalformedMessageError
from schemas.order import Order, OrderHeader
from schemas.rejection import Refusal, Refused
from schemas.statement import Result, Statement
from storage.effects import Outgoing
from storage.ports import Version
from tests.attacks.line import Line
from tests.attacks.stages import Disks


def bend_order(line: Line, sequence: int, lie: Callable[[Order], Order]) -> None:
    """Have the Auditor send another order for a sequence than the one its machine made."""

    def bend(message: Outgoing) -> Iterable[Outgoing]:
        if message.topic == "orders":
            order = Order.from_message(message.value)
            if OrderHeader.from_bytes(order.header).sequence == sequence:
                return (message._replace(value=lie(order).to_message()),)
        return (message,)

    line.stages["order"].bend = bend


def bend_result(line: Line, sequence: int, lie: Callable[[Result], Result]) -> None:
    """Have the Ledger send another result for a sequence than the one its machine made."""

    def bend(message: Outgoing) -> Iterable[Outgoing]:
        if message.topic == "results":
            result = Result.from_message(message.value)
            if Statement.from_bytes(result.statement).sequence == sequence:
                return (message._replace(value=lie(result).to_message()),)
        return (message,)

    line.stages["commit"].bend = bend


def take_back(party: Disks, key: RecordKey, version: int) -> None:
    """Make an older version of a record the current one."""
    party.store.overwrite(key, party.store.fetch(versions=[Version(key, version)]).versions[Version(key, version)])


def refusal_codes(line: Line) -> list[str]:
    """The codes with which the Ledger refused an order."""
    codes = []
    for value in line.values("evidence"):
        try:
            codes.append(Refusal.from_bytes(Refused.from_message(value).refusal).code)
        except MalformedMessageError:
            continue
    return codes
