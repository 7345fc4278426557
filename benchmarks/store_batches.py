"""CPU time of the record store for batches of transfers, in this process and in its Valkey.

    python -m benchmarks.store_batches [--batches 40] [--requests 500] [--accounts 100000] [--hot] [--json]

Each request reads and writes two accounts; a batch also reads five records of `sys`, looks up and adds its
requests in the replay guard, and puts an order of 1,000 bytes per request into the outbox. Making the new
records is not counted, reading and storing them is.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from protocol.hashing import ZERO_HASH
from protocol.records import ABSENT, Record, RecordKey
from storage.ports import (
    OutboxEntry,
    OutboxTrim,
    ReadCheck,
    RecordWrite,
    ReplayEntry,
    RequestExpiry,
    StoreCall,
    Stored,
)
from storage.redis_store import RedisStore
from tests.valkey import Valkey

REGISTRY = [RecordKey("sys", f"entity/alice/key/{n}") for n in range(5)]
VALUE = b'{"balance":1000,"owner":"somebody or other","currency":"EUR"}'
WINDOW = 64


def account(number: int) -> RecordKey:
    return RecordKey("bank", f"account/{number:08d}")


def next_version(record: Record, seed: random.Random, sequence: int, index: int) -> Record:
    return Record(
        record.version + 1,
        False,
        VALUE,
        seed.randbytes(32),
        record.record_hash,
        seed.randbytes(32),
        sequence,
        index,
    )


def fill(store: RedisStore, accounts: int, seed: random.Random) -> None:
    keys = [account(number) for number in range(accounts)] + REGISTRY
    for first in range(0, len(keys), 2_000):
        writes = [RecordWrite(key, next_version(ABSENT, seed, -1, 0)) for key in keys[first : first + 2_000]]
        done = store.apply(StoreCall(expected_cells={}, writes=writes, cells={}))
        assert isinstance(done, Stored)


class Meter:
    """CPU time of both sides, and wall time, while a phase runs."""

    def __init__(self, server: Valkey) -> None:
        self.server = server
        self.spent: dict[str, list[float]] = {}

    def now(self) -> tuple[float, float, float]:
        return time.process_time(), self.server.cpu_seconds(), time.perf_counter()

    def add(self, phase: str, before: tuple[float, float, float]) -> None:
        spent = self.spent.setdefault(phase, [0.0, 0.0, 0.0])
        for i, (start, end) in enumerate(zip(before, self.now(), strict=True)):
            spent[i] += end - start


def run_batch(
    store: RedisStore, meter: Meter, seed: random.Random, sequence: int, pairs: list[list[RecordKey]]
) -> None:
    now_ms = 1_700_000_000_000 + sequence * 100
    requests = [RequestExpiry(seed.randbytes(32), now_ms + 600_000) for _ in pairs]
    keys = list(dict.fromkeys(key for pair in pairs for key in pair)) + REGISTRY

    before = meter.now()
    found = store.fetch(keys, replay=requests, cells=["store_id", "sequence"])
    meter.add("fetch", before)

    latest = dict(found.records)
    reads = [ReadCheck(key, record.version, record.record_hash) for key, record in latest.items()]
    writes = []
    for index, pair in enumerate(pairs):
        for key in pair:
            latest[key] = next_version(latest[key], seed, sequence, index)
            writes.append(RecordWrite(key, latest[key]))
    order = seed.randbytes(1_000 * len(pairs))
    call = StoreCall(
        expected_cells={"store_id": b"benchmark", "sequence": b"%d" % (sequence - 1)},
        unseen=requests,
        reads=reads,
        writes=writes,
        replay=[ReplayEntry(request_id, expiry_ms, sequence) for request_id, expiry_ms in requests],
        evict_before_ms=now_ms,
        cells={"sequence": b"%d" % sequence, "order_hash": ZERO_HASH},
        outbox_put=[OutboxEntry("order", sequence, order)],
        outbox_trim=[OutboxTrim("order", sequence - 2 * WINDOW)],
    )

    before = meter.now()
    done = store.apply(call)
    meter.add("apply", before)
    assert isinstance(done, Stored), done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--hot", action="store_true", help="one account takes part in every transfer")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seed = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="countersign-") as directory:
        server = Valkey(Path(directory)).start()
        try:
            store = RedisStore(server.socket_url)
            store.create(b"benchmark")
            fill(store, options.accounts, seed)
            store.apply(StoreCall(expected_cells={}, cells={"sequence": b"-1"}))
            meter = Meter(server)
            for sequence in range(options.batches):
                numbers = seed.sample(range(options.accounts), 2 * options.requests)
                pairs = [
                    [account(0 if options.hot else a), account(b)] for a, b in zip(*[iter(numbers)] * 2, strict=True)
                ]
                run_batch(store, meter, seed, sequence, pairs)
            store.close()
        finally:
            server.stop()
    per_request = 1e6 / options.batches / options.requests
    report = {
        phase: {
            "python_us_per_request": round(spent[0] * per_request, 2),
            "valkey_us_per_request": round(spent[1] * per_request, 2),
            "wall_ms_per_batch": round(spent[2] * 1e3 / options.batches, 2),
        }
        for phase, spent in meter.spent.items()
    }
    if options.json:
        print(json.dumps(report))
    else:
        for phase, figures in report.items():
            print(phase, figures)


if __name__ == "__main__":
    main()
