"""Which records the generic contracts will touch, so that parties fetch them ahead in one round trip.

Only advice: a call whose hints are wrong or missing is executed all the same, with a fetch of its own.
"""

from collections.abc import Callable, Mapping
from typing import Any

from protocol.contracts.names import namespace_key
from schemas.request import RecordName


def _object(argument: Any) -> tuple[tuple[str, str], ...]:
    return (("object", argument["key"]), namespace_key("object"))


def _transfer(argument: Any) -> tuple[tuple[str, str], ...]:
    return (("bank", argument["from"]), ("bank", argument["to"]), namespace_key("bank"))


def _account(argument: Any) -> tuple[tuple[str, str], ...]:
    return (("bank", argument["account"]), namespace_key("bank"))


_TOUCHED: Mapping[str, Callable[[Any], tuple[tuple[str, str], ...]]] = {
    "object.put": _object,
    "object.delete": _object,
    "object.get": _object,
    "object.history": _object,
    "transfer": _transfer,
    "account.open": _account,
}


def records_touched(contract: str, argument: Any) -> tuple[RecordName, ...]:
    """The records a call of a generic contract will touch; none for other contracts or an argument of
    another shape.
    """
    touched = _TOUCHED.get(contract)
    if touched is None:
        return ()
    try:
        return tuple(RecordName(namespace, key) for namespace, key in touched(argument))
    except (KeyError, TypeError):
        return ()
