"""A record with a great many versions beside one with two: time to read and write, and bytes per version.

    python -m benchmarks.record_versions [--versions 100000] [--steps 300] [--json]

Both records are read and written in turn, one version per call, on a real Valkey with `appendfsync always`.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

from protocol.records import ABSENT, Record, RecordKey, pack
from storage.ports import RecordWrite, StoreCall, Stored, Version
from storage.redis_store import RedisStore
from tests.valkey import Valkey

VALUE = b'{"balance":1000,"owner":"somebody or other","currency":"EUR"}'
HOT = RecordKey("bank", "hot")
VERSIONS_PER_CALL = 2_000


def next_version(record: Record, seed: random.Random) -> Record:
    number = record.version + 1
    return Record(number, False, VALUE, seed.randbytes(32), record.record_hash, seed.randbytes(32), number, 0)


def grow(store: RedisStore, key: RecordKey, versions: int, seed: random.Random) -> None:
    record = store.fetch([key]).records[key]
    while record.version < versions:
        writes = []
        for _ in range(min(VERSIONS_PER_CALL, versions - record.version)):
            record = next_version(record, seed)
            writes.append(RecordWrite(key, record))
        assert isinstance(store.apply(StoreCall(expected_cells={}, writes=writes, cells={})), Stored)


def used_bytes(server: Valkey) -> int:
    answer = server.command("INFO", "memory").decode()
    return int(answer.split("used_memory:")[1].split()[0])


def timed_step(store: RedisStore, key: RecordKey, seed: random.Random) -> float:
    begun = time.perf_counter()
    record = store.fetch([key], versions=[Version(key, 1)]).records[key]
    done = store.apply(StoreCall(expected_cells={}, writes=[RecordWrite(key, next_version(record, seed))], cells={}))
    assert isinstance(done, Stored)
    return time.perf_counter() - begun


def measure(versions: int, steps: int) -> dict[str, float]:
    seed = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="countersign-") as directory:
        server = Valkey(Path(directory)).start()
        try:
            store = RedisStore(server.socket_url)
            grow(store, HOT, 2, seed)
            empty = used_bytes(server)
            grow(store, HOT, versions, seed)
            per_version = (used_bytes(server) - empty) / (versions - 2)
            many, two = [], []
            for step in range(steps):
                fresh = RecordKey("bank", f"fresh/{step}")
                grow(store, fresh, 2, seed)
                two.append(timed_step(store, fresh, seed))
                many.append(timed_step(store, HOT, seed))
            store.close()
        finally:
            server.stop()
    return {
        "versions": versions,
        "bytes_per_version": round(per_version, 1),
        "packed_bytes_per_version": len(pack(next_version(ABSENT, seed))),
        "ms_with_many_versions": round(statistics.median(many) * 1e3, 3),
        "ms_with_two_versions": round(statistics.median(two) * 1e3, 3),
        "ratio": round(statistics.median(many) / statistics.median(two), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report = measure(options.versions, options.steps)
    if options.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:26} {value}")


if __name__ == "__main__":
    main()
