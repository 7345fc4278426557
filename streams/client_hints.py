"""Which records the generic contracts will touch, so that parties fetch them ahead in one round trip.

Only advice: a call whose hints are wrong or missing is executed all the same, with a fetch of its own. So no call is
turned away for the hints that it gets here: they are texts that a record's key may be, and no more than a request may
have.
"""

from collections.abc import Callable, Mapping
from typing import Any

from protocol.contracts.names import namespace_key
from protocol.limits import Limits
from schemas.request import RecordName

_OBJECTS = RecordName(*namespace_key("object"))
_BANK = RecordName(*namespace_key("bank"))


def _object(argument: Any) -> tuple[RecordName, ...]:
    return RecordName("object", argument["key"]), _OBJECTS


def _transfer(argument: Any) -> tuple[RecordName, ...]:
    return RecordName("bank", argument["from"]), RecordName("bank", argument["to"]), _BANK


def _account(argument: Any) -> tuple[RecordName, ...]:
    return RecordName("bank", argument["account"]), _BANK


_TOUCHED: Mapping[str, Callable[[Any], tuple[RecordName, ...]]] = {
    "object.put": _object,
    "object.delete": _object,
    "object.get": _object,
    "object.history": _object,
    "transfer": _transfer,
    "account.open": _account,
}


def records_touched(contract: str, argument: Any, limits: Limits) -> tuple[RecordName, ...]:
    """The records a call of a generic contract will touch; none for other contracts or an argument of
    another shape.
    """
    touched = _TOUCHED.get(contract)
    if touched is None:
        return ()
    try:
        names = touched(argument)
    except (KeyError, TypeError):
        return ()
    for _, key in names:
        if type(key) is not str or len(key) > limits.key_bytes:
            return ()
    return names[: limits.records_per_request]
