"""No message changes its bytes unseen: schema, frame and samples are those of `tests/vectors/messages.json`."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.reference.avro import encode, named_types
from tests.reference.messages import every_message, in_json

KINDS = {kind.avro.name: kind for kind in every_message()}
VECTORS: dict[str, Any] = {
    vector["message"]: vector
    for vector in json.loads((Path(__file__).parents[2] / "vectors/messages.json").read_text())
}


def test_every_schema_has_its_message_and_its_vectors() -> None:
    """A new one needs golden bytes."""
    files = {path.stem for path in (Path(__file__).parents[3] / "schemas/avro").glob("*.avsc")}
    assert files == KINDS.keys() == VECTORS.keys()


@pytest.mark.parametrize("name", VECTORS)
def test_the_frame_and_the_schema(name: str) -> None:
    """What stands before the body on a topic, and what a signature names."""
    codec, vector = KINDS[name].avro, VECTORS[name]
    assert (codec.frame.hex(), codec.schema_hash.hex()) == (vector["frame"], vector["schema_sha256"])


@pytest.mark.parametrize("name", VECTORS)
def test_the_bytes(name: str) -> None:
    """Read, they are the fields that are named; written again, the same bytes; and so the specification says."""
    kind = KINDS[name]
    for sample in VECTORS[name]["samples"]:
        body = bytes.fromhex(sample["body"])
        message = kind.from_bytes(body)
        assert in_json(message.fields()) == sample["fields"]
        assert message.to_bytes() == body
        assert kind.from_message(message.to_message()) == message
        schema = kind.avro.definition
        assert encode(schema, message.fields(), named_types(schema)) == body


@pytest.mark.parametrize("name", VECTORS)
def test_arrays_are_there_and_empty(name: str) -> None:
    """Among the samples of a message, of each array."""
    bodies = [sample["fields"] for sample in VECTORS[name]["samples"]]
    for field, value in bodies[0].items():
        if isinstance(value, list):
            assert {bool(fields[field]) for fields in bodies} == {True, False}, field
