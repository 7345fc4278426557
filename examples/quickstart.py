"""The first steps with the client: write, read, keep a receipt and check it offline.

Start a ledger first: `make run ARGS="up"`. Then: `.venv/bin/python examples/quickstart.py`.
"""

import sys
from pathlib import Path

from countersign import Client, Limits, verify_receipt

directory = Path(sys.argv[1] if len(sys.argv) > 1 else "~/.countersign/client").expanduser()

with Client.open(directory, "admin") as client:
    written = client.execute("object.put", {"key": "color", "value": "blue"})
    print("written at sequence", written.sequence)

    read = client.execute("object.get", {"key": "color"})
    print("both parties signed that color is", read.output)

    # Thousands may be in flight; what is submitted together is signed together.
    futures = [client.submit("object.put", {"key": f"item/{n}", "value": n}) for n in range(1000)]
    print("a thousand more, up to sequence", max(future.result().sequence for future in futures))

    receipt = read.to_bytes()
    verified = verify_receipt(receipt, client.epochs.ledger_id, None, Limits())
    print("checked without any server:", verified.outcome.contract, verified.output.decode())
