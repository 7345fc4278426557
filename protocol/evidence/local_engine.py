"""The contract engine of this very process, for verifiers that trust the contracts, or may die of them."""

from protocol.contracts.calls import Batch, Execution, Fetch, Rejected
from protocol.contracts.engine import EXHAUSTION, ExhaustedError, engine_version
from protocol.contracts.execution import execute
from protocol.contracts.fingerprint import engine_answers
from protocol.evidence.verdicts import CannotJudgeError
from protocol.limits import Limits


class LocalEngine:
    """Executes in this process: what exhausts memory or stack may end it."""

    def __init__(self) -> None:
        """Ask the engine for its version and its known answers, once."""
        self.version = engine_version()
        self.answers = engine_answers()

    def execute(self, batch: Batch, fetch: Fetch, limits: Limits) -> tuple[Execution | Rejected, ...]:
        """Execute a batch.

        Raises:
            CannotJudgeError: it exhausted this process.
            DamagedRecordError: a record does not have its hash.
        """
        try:
            return execute(batch, fetch, limits)
        except (ExhaustedError, *EXHAUSTION) as error:
            raise CannotJudgeError("executing it exhausts this verifier") from error
