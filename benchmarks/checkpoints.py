"""Ways of taking checkpoints in a PBFT-style cluster whose primary keeps b honest replicas in the dark (paper 4.2).

    python -m benchmarks.checkpoints [--blocks 2] [--json]

Messages and bytes per block of n updates of 256 bytes (their lengths included), of honest replicas: `broadcast` sends
every block whole to all; `pulled` broadcasts digests, and whoever is in the dark asks; `simple` and `tree` disperse
with k = n - 2b. Either nobody is in the dark and nobody lies, or b replicas are, and b others do what `lie` says.
"""

import argparse
import json
import math
import time

from tests.unit.learners.checkpoints.ways import SIZES, UPDATE_BYTES, WAYS, Lie, Trial, Way, run

LIES: tuple[Lie, ...] = ("none", "silent", "corrupt", "ask")
DECODES_BEARABLE = 10_000


def row(way: Way, lie: Lie, trial: Trial, blocks: int) -> dict[str, object]:
    size = trial.cluster.size
    honest = [trial.cluster.network.checkpoints[index] for index in trial.honest]
    journal = blocks * size.n * UPDATE_BYTES
    sent = [traffic.sent_bytes for traffic in honest]
    received = [traffic.received_bytes for traffic in honest]
    decodes = [count for part in trial.dispersing() for count in part.decodes.values()]
    learned = all(trial.cluster.journal(index) == trial.updates for index in trial.honest)
    return {
        "n": size.n,
        "b": size.b,
        "k": size.k,
        "way": way,
        "lie": lie,
        "in_the_dark": len(trial.cluster.in_the_dark),
        "blocks": blocks,
        "all_learned": learned,
        "sent_messages_most": max(traffic.sent_messages for traffic in honest) // blocks,
        "sent_bytes_most": max(sent) // blocks,
        "sent_copies_most": round(max(sent) / journal, 3),
        "sent_most_over_mean": round(max(sent) * len(sent) / sum(sent), 2),
        "received_bytes_most": max(received) // blocks,
        "received_copies_most": round(max(received) / journal, 3),
        "messages_of_all": sum(traffic.sent_messages for traffic in honest) // blocks,
        "bytes_of_all": sum(sent) // blocks,
        "decodes_most": max(decodes, default=0),
        "decodes_bound": math.comb(size.k + size.b, size.k) if way == "simple" else int(way == "tree"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for n, b in SIZES:
        for way in WAYS:
            for lie, left_out in (("none", 0), *((lie, b) for lie in LIES)):
                searches = way == "simple" and lie == "corrupt"
                if searches and math.comb(n - b, b) > DECODES_BEARABLE:
                    continue  # n = 32: up to 646,646 decodings in each of 22 replicas
                began = time.process_time()
                trial = run(way, n, b, lie, blocks=options.blocks, left_out=left_out)
                rows.append({**row(way, lie, trial, options.blocks), "cpu_s": round(time.process_time() - began, 2)})
                if not options.json:
                    print(rows[-1])
    if options.json:
        print(json.dumps({"blocks": options.blocks, "rows": rows}))


if __name__ == "__main__":
    main()
