"""Countersign for its users: send requests, keep receipts, check evidence, ask learners.

Start with `Client.open(directory, entity)`, then `execute` or `submit`; `examples/quickstart.py` shows the first steps.
"""

from learners.blame import BlockEncoder
from protocol.errors import CountersignError
from protocol.evidence.verdicts import Culprit, Finding, Verdict
from protocol.evidence.verify import verify_evidence
from protocol.limits import Limits
from protocol.receipts import VerifiedReceipt, verify_receipt
from streams.async_client import AsyncClient
from streams.client import Client, NoReceiptError, RejectedError
from streams.client_options import ClientOptions
from streams.client_receipts import ClientReceipt, ContractFailedError
from streams.engine_process import EngineProcess
from streams.query_client import QueryClient

__all__ = [
    "AsyncClient",
    "BlockEncoder",
    "Client",
    "ClientOptions",
    "ClientReceipt",
    "ContractFailedError",
    "CountersignError",
    "Culprit",
    "EngineProcess",
    "Finding",
    "Limits",
    "NoReceiptError",
    "QueryClient",
    "RejectedError",
    "Verdict",
    "VerifiedReceipt",
    "verify_evidence",
    "verify_receipt",
]
