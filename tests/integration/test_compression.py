"""What lies on Kafka's disk: compressed where only the parties write, plain where others do (ADR 0040, 0041)."""

from pathlib import Path

from deploy.local.stack import LocalStack
from schemas.topics import DECISIONS, LEARNED, METRICS, ORDERS, RECEIPTS, REQUESTS, RESULTS, pieces_topic
from tests.pipeline import Pipeline, await_that

_PARTIES = (ORDERS, RESULTS, DECISIONS, RECEIPTS)
_OTHERS = (REQUESTS, LEARNED, METRICS, *map(pieces_topic, range(4)))
_PLAIN, _LZ4 = 0, 3
_HEAD_BYTES = 61
_ATTRIBUTES_AT = 21
_CODEC = 0b111


def _codecs(topic: Path) -> set[int]:
    """The codecs of a partition's batches (Kafka protocol, "Record Batch": length at 8, attributes at 21)."""
    codecs: set[int] = set()
    for segment in topic.glob("*.log"):
        data, at = segment.read_bytes(), 0
        while at + _HEAD_BYTES <= len(data) and data[at + 16] == 2:  # behind the last one may be zeros
            codecs.add(int.from_bytes(data[at + _ATTRIBUTES_AT : at + _ATTRIBUTES_AT + 2], "big") & _CODEC)
            at += 12 + int.from_bytes(data[at + 8 : at + 12], "big")
    return codecs


def test_what_the_parties_write_is_compressed(ledger: Pipeline, stack: LocalStack) -> None:
    """By LZ4, and what others may write not at all."""

    def codecs(topics: tuple[str, ...]) -> list[set[int]]:
        return [_codecs(stack.directory / "kafka" / "data" / f"ledger.{topic}-0") for topic in topics]

    with ledger.client() as client:
        futures = [client.submit("object.put", {"key": f"compressed/{n}", "value": "x" * 200}) for n in range(100)]
        assert all(future.result(60).ok for future in futures)
    await_that("something in every topic", lambda: all(codecs((*_PARTIES, *_OTHERS))))
    assert all(_LZ4 in found for found in codecs(_PARTIES)), codecs(_PARTIES)
    assert codecs(_OTHERS) == len(_OTHERS) * [{_PLAIN}]
