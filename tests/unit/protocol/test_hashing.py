"""The tagged hash is exactly PROTOCOL 1.1, and no two uses of it can meet."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from protocol.hashing import HASH_SIZE, ZERO_HASH, Tag, tagged
from protocol.merkle import leaf_hash
from tests.reference import hashing as reference

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/hashing.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["hashes"], ids=range(len(VECTORS["hashes"])))
def test_golden_hashes(vector: dict[str, object]) -> None:
    """The published vectors hold, so a change of the framing cannot go unnoticed."""
    parts = [bytes.fromhex(part) for part in vector["parts"]]  # type: ignore[attr-defined]
    assert tagged(str(vector["tag"]), *parts).hex() == vector["hash"]


def test_every_tag_has_a_domain_of_its_own() -> None:
    """The same part under two tags never gives the same hash."""
    assert len({tagged(tag, b"part") for tag in Tag}) == len(Tag)
    assert all(tag.isascii() and 0 < len(tag) < 256 for tag in Tag)


def test_a_tag_and_its_text_are_one() -> None:
    """A member of the table and its plain text give the same hash."""
    assert tagged(Tag.RECORD, b"x") == tagged("record", b"x") == reference.tagged("record", [b"x"])


def test_an_unlisted_tag_is_refused() -> None:
    """A tag outside the table is a mistake that shows at once."""
    with pytest.raises(KeyError):
        tagged("not-in-the-table", b"x")


def test_moving_a_boundary_changes_the_hash() -> None:
    """Parts cannot flow into each other, into the count or into the tag."""
    hashes = {
        tagged("order"),
        tagged("order", b""),
        tagged("order", b"", b""),
        tagged("order", b"abc"),
        tagged("order", b"ab", b"c"),
        tagged("order", b"a", b"bc"),
        tagged("order", b"abc", b""),
        tagged("order", b"", b"abc"),
    }
    assert len(hashes) == 8


def test_no_tagged_hash_is_the_hash_of_a_leaf() -> None:
    """A length in front is not enough: its zero byte makes it a Merkle leaf; "CSv1" keeps them apart."""
    framed = (1).to_bytes(4, "big") + (1).to_bytes(8, "big") + b"x"
    assert sha256(framed).digest() == leaf_hash(framed[1:])
    tagged_bytes = b"CSv1\x05order" + framed
    assert sha256(tagged_bytes).digest() == tagged("order", b"x")
    assert tagged_bytes[0] not in (0, 1)


def test_the_zero_hash_is_no_hash() -> None:
    """It has a hash's size, and stands for none."""
    assert len(ZERO_HASH) == HASH_SIZE == len(tagged("order"))
    assert not any(ZERO_HASH)


def test_out_of_memory_is_no_other_error() -> None:
    """OpenSSL has other names for it, and whoever catches ValueError would hold it against what was hashed. No error
    stays in OpenSSL's queue, where a TLS connection would find it.
    """
    program = Path(__file__).with_name("openssl_without_memory.py")
    command = (sys.executable, "-P", str(program))
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    if not done.stdout:
        pytest.skip("Python's OpenSSL is not the system's, whose memory is ended here")
    ways = dict(line.split(": ") for line in done.stdout.splitlines())
    assert len(ways) == 8
    assert set(ways.values()) == {"MemoryError"}
