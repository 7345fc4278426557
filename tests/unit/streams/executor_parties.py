"""Two parties' executors, as tests of them start and stop them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from protocol.limits import Limits
from streams.executor import Executor

ROOT = Path(__file__).resolve().parents[3]
MIB = 1024 * 1024
LIMITS = replace(Limits(), contract_memory_bytes=96 * MIB, contract_cpu_ms=100)

Parties = tuple[Executor, Executor]
"""The Auditor's executor and the Ledger's, four times as wide."""


def start_parties() -> Iterator[Parties]:
    """Make both, and close them in the end."""
    auditor, ledger = Executor(LIMITS), Executor(LIMITS, scale=LIMITS.resources_factor)
    yield auditor, ledger
    auditor.close()
    ledger.close()
