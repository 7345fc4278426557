"""Messages in other bytes: what a broker, or anybody, can make of a message without any key."""

from dataclasses import fields, replace
from typing import Any

from protocol.signing import _Q
from schemas.codec import FRAME_BYTES, Message
from schemas.statement import Countersigned


def other_signature(signature: bytes) -> bytes:
    """The other P-256 signature of the same message: `r`, `q - s`."""
    s = int.from_bytes(signature[32:], "big")
    return signature[:32] + (_Q - s).to_bytes(32, "big")


def with_other_signatures(message: Message) -> Message:
    """The message with every signature in it replaced by the other one."""
    changes = {each.name: _other(each.name, getattr(message, each.name)) for each in fields(message)}  # type: ignore[arg-type]
    return replace(message, **changes)  # type: ignore[type-var]


def _other(name: str, value: Any) -> Any:
    if name.endswith("signature") and isinstance(value, bytes) and len(value) == 64:
        return other_signature(value)
    if isinstance(value, Countersigned):
        return value._replace(**{each: _other(each, getattr(value, each)) for each in value._fields})
    return value


def longer_number(data: bytes) -> bytes:
    """A framed message whose first number takes a byte more than it needs."""
    at = FRAME_BYTES
    while data[at] & 0x80:
        at += 1
    return data[:at] + bytes((data[at] | 0x80, 0)) + data[at + 1 :]


def longer(data: bytes) -> bytes:
    """A message with a byte behind its end."""
    return data + b"\0"
