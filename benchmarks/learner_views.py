"""CPU time of a learner's rows and views for blocks of transfers, and the memory of the process.

    python -m benchmarks.learner_views [--requests 1000000] [--accounts 100000] [--json]

Each request has five reads and two writes. Making the updates is not counted; cutting their rows and feed
messages, and storing them, is. Afterwards some queries are timed.
"""

import argparse
import hashlib
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from learners.rows import RowGatherer
from protocol.hashing import ZERO_HASH
from schemas.order import Entry, ReadVersion, WriteVersion
from schemas.outcome import Outcome, ReadPin, WritePin
from schemas.request import Envelope, RecordName, RequestBody
from schemas.statement import Statement, Update
from storage.duckdb_views import DuckDbViews
from storage.views import BlockRow, ViewPosition

LEDGER_ID = b"l" * 32
BATCH = 500
BLOCK = 4
QUERIES = (
    "SELECT count(*), sum(version) FROM records",
    "SELECT * FROM records WHERE namespace = 'bank' AND key = 'account/00000077'",
    "SELECT sum((value->>'balance')::BIGINT) FROM records",
    "SELECT contract, count(*) FROM requests GROUP BY ALL",
    "SELECT count(DISTINCT key) FROM history",
)


def entry() -> bytes:
    body = RequestBody(
        format=1,
        ledger_id=LEDGER_ID,
        entity="alice",
        key_version=1,
        nonce=bytes(16),
        contract="transfer",
        contract_version=1,
        argument=b'{"amount":5,"from":"account/00000001","to":"account/00000002"}',
        not_before_ms=0,
        expiry_ms=1 << 40,
        after=-1,
        keys=(RecordName("bank", "account/00000001"), RecordName("bank", "account/00000002")),
    )
    path = (ZERO_HASH,) * 7
    envelope = Envelope(body=body.to_bytes(), index=3, count=100, path=path, signature=bytes(64))
    reads = tuple(ReadVersion("sys", f"entity/alice/key/{n}", 1, -1, n) for n in range(5))
    writes = tuple(WriteVersion("bank", f"account/0000000{n}", 5, False) for n in (1, 2))
    written = Entry(index=3, envelope=envelope.to_bytes(), reads=reads, scans=(), writes=writes)
    return written.to_bytes()


def outcome(number: int, seed: random.Random, accounts: int, versions: dict[int, int]) -> bytes:
    writes = []
    for account in (seed.randrange(accounts), seed.randrange(accounts)):
        versions[account] = versions.get(account, 0) + 1
        writes.append(
            WritePin("bank", f"account/{account:08d}", versions[account], False, seed.randbytes(32))
        )
    return Outcome(
        index=number % BATCH,
        request_id=hashlib.sha256(b"%d" % number).digest(),
        entity="alice",
        key_version=1,
        contract="transfer",
        contract_version=1,
        status="ok",
        code="",
        fail_text="",
        output_hash=ZERO_HASH,
        reads=tuple(ReadPin("sys", f"entity/alice/key/{n}", 1, -1, n, ZERO_HASH) for n in range(5)),
        scans=(),
        writes=tuple(writes),
    ).to_bytes()


def updates(requests: int, accounts: int) -> Iterator[tuple[Update, Statement]]:
    seed = random.Random(1)
    versions: dict[int, int] = {}
    entries = (entry(),) * BATCH
    for sequence in range(requests // BATCH):
        first = sequence * BATCH
        statement = Statement(
            format=1,
            ledger_id=LEDGER_ID,
            epoch=0,
            sequence=sequence,
            order_hash=ZERO_HASH,
            outcomes_root=ZERO_HASH,
            count=BATCH,
            ordered_at_ms=1_790_000_000_000 + sequence,
            kind="normal",
            previous_statement_hash=ZERO_HASH,
            journal_root=ZERO_HASH,
        )
        update = Update(
            statement=b"",
            header=b"",
            salt=ZERO_HASH,
            entries=entries,
            outcomes=tuple(outcome(first + n, seed, accounts, versions) for n in range(BATCH)),
            outputs=(b'{"from":95,"to":105}',) * BATCH,
            values=tuple(b'{"balance":%d}' % (first + n) for n in range(2 * BATCH)),
        )
        yield update, statement


def fill(views: DuckDbViews, requests: int, accounts: int) -> dict[str, float]:
    """Learn all requests; the CPU time of both halves, and the longest append."""
    gatherer = RowGatherer()
    cutting = storing = longest = 0.0
    last = requests // BATCH - 1
    for update, statement in updates(requests, accounts):
        sequence = statement.sequence
        started = time.process_time()
        gatherer.add(update, statement, learned_at_ms=0)
        block_ends = sequence % BLOCK == BLOCK - 1 or sequence == last
        if block_ends:
            block = sequence // BLOCK
            row = BlockRow(
                block=block,
                first_sequence=block * BLOCK,
                count=sequence - block * BLOCK + 1,
                epoch=0,
                root=ZERO_HASH,
                learned_at_ms=0,
            )
            gatherer.end_block(row)
        cutting += time.process_time() - started
        if (block_ends and gatherer.due(0)) or sequence == last:
            started, began = time.process_time(), time.perf_counter()
            views.append(gatherer.take(), ViewPosition(sequence, bytes(200)))
            storing += time.process_time() - started
            longest = max(longest, time.perf_counter() - began)
    return {
        "rows_us": round(cutting / requests * 1e6, 2),
        "append_us": round(storing / requests * 1e6, 2),
        "longest_append_ms": round(longest * 1e3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "views.duckdb"
        views = DuckDbViews(path, LEDGER_ID)
        figures: dict[str, object] = {"requests": options.requests, "accounts": options.accounts}
        figures |= fill(views, options.requests, options.accounts)
        figures["file_bytes_per_request"] = round(path.stat().st_size / options.requests)
        timed = {}
        for query in QUERIES:
            began = time.perf_counter()
            views.query(query)
            timed[query] = round((time.perf_counter() - began) * 1e3, 1)
        figures["query_ms"] = timed
        figures["rss_peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        views.close()
    if options.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(f"{name:24} {figure}")


if __name__ == "__main__":
    main()
