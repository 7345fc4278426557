"""Writes `dispersal.json`, the golden vectors of the code and the tree.

They are made once; a difference afterwards is a change of format and needs a new name of the codec or a new format.
"""

import json
from hashlib import sha256
from pathlib import Path

from learners.checksums import disperse
from learners.codec import CODEC, erasure_code
from learners.dispersal import BlockDescription
from protocol.configuration import NONE, SIMPLE, TREE

SIZES = [(2, 3), (3, 4), (5, 7), (11, 16), (22, 32), (2, 4), (3, 7), (6, 16), (12, 32)]
"""Those of the paper's figures: k = n - b, and k = n - 2b for checkpoints."""

LENGTHS = [1, 1000, 4096]

ABOUT = (
    "docs/wire-formats.md, section 6. A block of a length is the first bytes of SHA-256(u64 0) || SHA-256(u64 1) || "
    "...; codes: SHA-256 of each of its slices; trees: root of a piece, and path of the last one, under the checksum "
    "tree; roots: the same under others. In a root stand format 1, epoch 2, block 7, first_sequence 7 n, count n, "
    "codec zfec, and as ledger_id, previous_block_root and last_statement_hash SHA-256 of 'ledger', 'previous', 'last'."
)
"""What a reader of the file alone must know."""


def block_of(length: int) -> bytes:
    """SHA-256 in counter mode."""
    return b"".join(sha256(index.to_bytes(8, "big")).digest() for index in range(length // 32 + 1))[:length]


def description_of(k: int, n: int, length: int, checksum: str = TREE) -> BlockDescription:
    """What the vectors' blocks say of themselves."""
    return BlockDescription(
        ledger_id=sha256(b"ledger").digest(),
        epoch=2,
        block=7,
        first_sequence=7 * n,
        count=n,
        n=n,
        k=k,
        codec=CODEC,
        checksum=checksum,
        block_length=length,
        previous_block_root=sha256(b"previous").digest(),
        last_statement_hash=sha256(b"last").digest(),
    )


def main() -> None:
    codes, trees, roots = [], [], []
    for k, n in SIZES:
        for length in LENGTHS:
            slices = erasure_code(k, n).encode(block_of(length))
            hashes = [sha256(data).hexdigest() for data in slices]
            codes.append({"codec": CODEC, "k": k, "n": n, "length": length, "slices_sha256": hashes})
        made = disperse(description_of(k, n, 1000), block_of(1000), erasure_code(k, n))
        last = [node.hex() for node in made.path(n - 1)]
        trees.append({"k": k, "n": n, "length": 1000, "root": made.root.hex(), "last_path": last})
        for checksum in (NONE, SIMPLE):
            about = description_of(k, n, 1000, checksum)
            root = disperse(about, block_of(1000), erasure_code(k, n)).root.hex()
            roots.append({"k": k, "n": n, "length": 1000, "checksum": checksum, "root": root})
    target = Path(__file__).with_name("dispersal.json")
    target.write_text(json.dumps({"about": ABOUT, "codes": codes, "trees": trees, "roots": roots}, indent=1) + "\n")


if __name__ == "__main__":
    main()
