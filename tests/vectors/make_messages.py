"""Writes `messages.json`, the golden bytes of every message.

They are made once, by the encoder in `tests/reference/avro.py`; a difference afterwards is a change of format, which
needs a decision record and a new version of the message. Bytes are in hex: `frame` is what stands before a body on a
topic, `schema_sha256` what a signature names, `body` what is hashed.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from tests.reference.avro import encode, named_types, sample
from tests.reference.messages import every_message, in_json


def samples(schema: Any, types: Mapping[str, Any]) -> Iterator[Any]:
    """Two values or more: until each array was empty, and was not."""
    arrays = [field["name"] for field in schema["fields"] if "items" in field["type"]]
    wanted = {(name, is_empty) for name in arrays for is_empty in (True, False)} | {("", True), ("", False)}
    for first in count():
        made = sample(schema, types, count(first))
        shown = {(name, not made[name]) for name in arrays} | {("", first > 0)}
        if wanted & shown:
            yield made
        wanted -= shown
        if not wanted:
            return


def vectors() -> Iterator[dict[str, Any]]:
    """The vectors of every message."""
    for kind in every_message():
        schema = kind.avro.definition
        types = named_types(schema)
        made = list(samples(schema, types))
        yield {
            "message": kind.avro.name,
            "schema_sha256": kind.avro.schema_hash.hex(),
            "frame": kind.avro.frame.hex(),
            "samples": [{"fields": in_json(each), "body": encode(schema, each, types).hex()} for each in made],
        }


def main() -> None:
    target = Path(__file__).with_name("messages.json")
    target.write_text(json.dumps(list(vectors()), indent=1) + "\n")


if __name__ == "__main__":
    main()
