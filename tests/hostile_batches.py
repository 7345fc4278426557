"""Batches of records as no client library makes them, and what gives them to a broker."""

import socket
import struct
import zlib
from collections.abc import Iterable, Iterator

from schemas.binary import encode_long

GZIP, LZ4 = 1, 3
"""Kafka's numbers of codecs."""

ACCEPTED, TOO_LARGE = 0, 10
"""Kafka's answers."""

_PRODUCE, _PRODUCE_VERSION = 0, 7
_LZ4_HEADER = bytes.fromhex("04224d18604082")  # independent blocks of 64 KiB, no checksums
_LZ4_BLOCK = 64 * 1024
_ZEROS = bytes(1 << 20)
_TIMEOUT_S = 60


def gzip_bomb(value_bytes: int) -> bytes:
    """A batch with one message of so many zeros, a thousandth of that in length."""
    return _batch(GZIP, 1, _gzip(_one_record_of_zeros(value_bytes)))


def unending_lz4(values: Iterable[bytes]) -> bytes:
    """A batch of messages that brokers take and librdkafka does not: its LZ4 stream has rubbish behind its end."""
    records = [b"".join(_record(number, value)) for number, value in enumerate(values)]
    plain = b"".join(records)
    blocks = [plain[start : start + _LZ4_BLOCK] for start in range(0, len(plain), _LZ4_BLOCK)]
    stored = b"".join(struct.pack("<I", len(block) | 1 << 31) + block for block in blocks)
    return _batch(LZ4, len(records), _LZ4_HEADER + stored + struct.pack("<I", 0) + b"rubbish")


def give(bootstrap: str, name: str, partition: int, batch: bytes) -> int:
    """Give a batch to the broker of a topic (its name on the cluster), and return what it answers."""
    topic = struct.pack(">h", len(name)) + name.encode()
    header = struct.pack(">hhih", _PRODUCE, _PRODUCE_VERSION, 1, -1)
    body = struct.pack(">hhi", -1, -1, _TIMEOUT_S * 1000) + struct.pack(">i", 1) + topic
    request = header + body + struct.pack(">iii", 1, partition, len(batch)) + batch
    host, port = bootstrap.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=_TIMEOUT_S) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as stream:
            (length,) = struct.unpack(">i", stream.read(4))
            answer = stream.read(length)
    error: int
    (error,) = struct.unpack_from(">h", answer, 4 + 4 + len(topic) + 4 + 4)
    return error


def _one_record_of_zeros(value_bytes: int) -> Iterator[bytes]:
    head, tail = _record(0, b"", value_bytes)
    yield head
    for start in range(0, value_bytes, len(_ZEROS)):
        yield _ZEROS[: value_bytes - start]
    yield tail


def _record(number: int, value: bytes, value_bytes: int | None = None) -> tuple[bytes, bytes]:
    """What stands before the rest of a value of `value_bytes`, and what stands behind it.

    Kafka's varints are those of Avro.
    """
    length = len(value) if value_bytes is None else value_bytes
    head = b"\0" + encode_long(0) + encode_long(number) + encode_long(-1) + encode_long(length)
    return encode_long(len(head) + length + 1) + head + value, b"\0"


def _gzip(parts: Iterable[bytes]) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*map(packer.compress, parts), packer.flush()])


def _batch(codec: int, count: int, payload: bytes) -> bytes:
    summed = struct.pack(">hiqqqhii", codec, count - 1, 0, 0, -1, -1, -1, count) + payload
    return struct.pack(">qiibI", 0, 9 + len(summed), -1, 2, _crc32c(summed)) + summed


def _crc32c(data: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in data:
        state = state >> 8 ^ _CRC_TABLE[(state ^ byte) & 0xFF]
    return state ^ 0xFFFFFFFF


def _crc_of_byte(state: int) -> int:
    for _ in range(8):
        state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state


_CRC_TABLE = tuple(map(_crc_of_byte, range(256)))
