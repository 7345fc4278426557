"""Every message there is, and its fields in JSON."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import schemas
from schemas.codec import Message


def every_message() -> tuple[type[Message], ...]:
    """The message of every schema, by the schema's name."""
    for module in pkgutil.iter_modules(schemas.__path__):
        importlib.import_module(f"schemas.{module.name}")
    found = {kind.avro.name: kind for kind in _below(Message) if hasattr(kind, "avro")}
    return tuple(found[name] for name in sorted(found))


def _below(kind: type[Message]) -> Iterator[type[Message]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def in_json(value: Any) -> Any:
    """Fields as JSON holds them, bytes in hex."""
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {name: in_json(each) for name, each in value.items()}
        case list() | tuple():
            return [in_json(each) for each in value]
        case _:
            return value
