"""The naive pull-based learner of the paper's section 2 beside the push-based one: who sends how much, and to whom.

    python -m benchmarks.pull_learner [--updates 256] [--learners 20] [--malicious 5] [--asks 100] [--json]

Pull: a learner asks 2b + 1 replicas for each block, because b may be silent and b may lie, and takes what b + 1 of
them say alike; a replica serves whoever asks. Scenarios: `spread` (each learner draws its replicas), `same` (all take
the same ones: nobody coordinates them), `liars` (b of the asked ones lie), `flood` (malicious learners also ask one
honest replica for every block, again and again). Push: every replica sends its piece of each block to each learner,
whatever anybody asks; a flooding learner has nobody to ask. On a topic a piece is sent once, for all learners together
(`push topic`).

Bytes are the paper's: 8 for a position, the updates or the slice, and the checksum. An update has 256 bytes with its
length; what learners send when they ask is not counted.
"""

import argparse
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from learners.checksums import disperse
from learners.codec import erasure_code
from learners.dispersal import BlockDescription, frame_block
from protocol.hashing import HASH_SIZE, ZERO_HASH

CLUSTERS = ((4, 1), (7, 2), (16, 5), (32, 10))
UPDATE_BYTES = 256
LENGTH_BYTES = 4
POSITION_BYTES = 8


@dataclass
class Traffic:
    """Bytes and messages that each replica sent, and that honest learners received."""

    replicas: int
    sent_bytes: Counter[int] = field(default_factory=Counter)
    sent_messages: Counter[int] = field(default_factory=Counter)
    received_bytes: int = 0
    received_messages: int = 0

    def send(self, replica: int, message: bytes, honest: bool) -> None:
        self.sent_bytes[replica] += len(message)
        self.sent_messages[replica] += 1
        if honest:
            self.received_bytes += len(message)
            self.received_messages += 1

    def row(self, journal_bytes: int, learners: int) -> dict[str, object]:
        worst = max(self.sent_bytes.values())
        mean = sum(self.sent_bytes.values()) / self.replicas
        return {
            "worst_replica_bytes": worst,
            "mean_replica_bytes": round(mean),
            "worst_over_mean": round(worst / mean, 2),
            "worst_replica_copies": round(worst / journal_bytes, 2),
            "worst_replica_messages": max(self.sent_messages.values()),
            "learner_received_bytes": self.received_bytes // learners,
            "learner_received_messages": self.received_messages // learners,
            "learner_copies": round(self.received_bytes / learners / journal_bytes, 3),
        }


class PullReplica:
    """A replica that can be queried for its journal; one that lies serves other updates."""

    def __init__(self, blocks: Sequence[bytes], lies: bool) -> None:
        self.blocks = [block[:-1] + b"?" for block in blocks] if lies else blocks

    def serve(self, block: int) -> bytes:
        return block.to_bytes(POSITION_BYTES, "big") + self.blocks[block]


class PullLearner:
    """A learner that asks `asked` replicas for each block."""

    def __init__(self, b: int, asked: Sequence[int]) -> None:
        self.b, self.asked = b, asked
        self.journal: list[bytes] = []

    def learn(self, replicas: Sequence[PullReplica], traffic: Traffic) -> None:
        block = len(self.journal)
        said: defaultdict[bytes, set[int]] = defaultdict(set)
        for replica in self.asked:
            answer = replicas[replica].serve(block)
            traffic.send(replica, answer, honest=True)
            agreeing = said[sha256(answer).digest()]
            agreeing.add(replica)
            if len(agreeing) == self.b + 1:
                self.journal.append(answer[POSITION_BYTES:])
        assert len(self.journal) == block + 1, "exactly one answer is believed"


@dataclass(frozen=True)
class Crowd:
    """Who learns: so many honest learners, and so many that ask `asks` times for each block."""

    learners: int
    malicious: int
    asks: int


def pull(n: int, b: int, blocks: Sequence[bytes], crowd: Crowd, scenario: str) -> Traffic:
    """All learners learn all blocks by asking."""
    rng = random.Random(1)
    traffic = Traffic(n)
    liars = range(b) if scenario == "liars" else range(0)
    replicas = [PullReplica(blocks, index in liars) for index in range(n)]
    width = 2 * b + 1
    learners = [
        PullLearner(b, rng.sample(range(n), width) if scenario == "spread" else range(width))
        for _ in range(crowd.learners)
    ]
    target = width - 1
    for block in range(len(blocks)):
        for learner in learners:
            learner.learn(replicas, traffic)
        if scenario == "flood":
            for _ in range(crowd.malicious * crowd.asks):
                traffic.send(target, replicas[target].serve(block), honest=False)
    assert all(learner.journal == list(blocks) for learner in learners)
    return traffic


def push(n: int, b: int, blocks: Sequence[bytes], crowd: Crowd, on_topic: bool) -> Traffic:
    """Every replica pushes its pieces; malicious learners are sent theirs, and that is all they get."""
    traffic = Traffic(n)
    k = n - b
    code = erasure_code(k, n)
    for number, block in enumerate(blocks):
        about = BlockDescription(
            ledger_id=ZERO_HASH,
            epoch=0,
            block=number,
            first_sequence=number * n,
            count=n,
            n=n,
            k=k,
            codec="zfec",
            checksum="tree",
            block_length=len(block),
            previous_block_root=ZERO_HASH,
            last_statement_hash=ZERO_HASH,
        )
        made = disperse(about, block, code)
        for index in range(n):
            message = bytes(POSITION_BYTES) + made.slice(index) + made.root + b"".join(made.path(index))
            for _ in range(crowd.learners - 1 if not on_topic else 0):
                traffic.send(index, message, honest=True)
            for _ in range(crowd.malicious if not on_topic else 0):
                traffic.send(index, message, honest=False)
            traffic.send(index, message, honest=True)
            if on_topic:  # the broker serves every learner; the replica has sent it once
                traffic.received_bytes += len(message) * (crowd.learners - 1)
                traffic.received_messages += crowd.learners - 1
    return traffic


def measure(updates: int, crowd: Crowd) -> Iterable[dict[str, object]]:
    for n, b in CLUSTERS:
        rng = random.Random(n)
        count = updates // n
        update_bytes = UPDATE_BYTES - LENGTH_BYTES
        blocks = [frame_block([rng.randbytes(update_bytes) for _ in range(n)]) for _ in range(count)]
        journal_bytes = sum(map(len, blocks))
        about = {"n": n, "b": b, "block_updates": n, "journal_bytes": journal_bytes, "checksum_bytes": HASH_SIZE}
        for scenario in ("spread", "same", "liars", "flood"):
            traffic = pull(n, b, blocks, crowd, scenario)
            yield {**about, "design": "pull", "scenario": scenario, **traffic.row(journal_bytes, crowd.learners)}
        for scenario, on_topic in (("flood", False), ("flood", True)):
            traffic = push(n, b, blocks, crowd, on_topic)
            design = "push topic" if on_topic else "push"
            yield {**about, "design": design, "scenario": scenario, **traffic.row(journal_bytes, crowd.learners)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=256)
    parser.add_argument("--learners", type=int, default=20)
    parser.add_argument("--malicious", type=int, default=5)
    parser.add_argument("--asks", type=int, default=100, help="of each malicious learner, for each block")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    crowd = Crowd(options.learners, options.malicious, options.asks)
    rows = list(measure(options.updates, crowd))
    if options.json:
        print(json.dumps({"crowd": vars(options), "rows": rows}))
        return
    print(f"{'n':>3} {'design':10} {'scenario':8} {'worst replica':>14} {'copies':>8} {'/mean':>6} {'learner':>8}")
    for row in rows:
        print(
            f"{row['n']:3} {row['design']:10} {row['scenario']:8} {row['worst_replica_bytes']:14,} "
            f"{row['worst_replica_copies']:8} {row['worst_over_mean']:6} {row['learner_copies']:8}"
        )


if __name__ == "__main__":
    main()
