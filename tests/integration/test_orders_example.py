"""The example of two services: an order is in both databases or in neither, whichever service dies and when."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_books_of_both_services_agree_after_every_crash() -> None:
    """Real processes: a refused order, a kill between prepare and decision, and one behind the decision."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.orders", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    story = list(json.loads(done.stdout).values())
    assert story == [
        {"owed": 4000, "ordered": 4000, "orders": 1},
        "transaction.condition",
        {"owed": 4000, "ordered": 4000, "orders": 1},
        "transaction.participant",
        {"owed": 4000, "ordered": 4000, "orders": 1},
        {"owed": 7000, "ordered": 7000, "orders": 2},
        3000,
    ]
