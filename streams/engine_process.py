"""A contract engine for verifiers of evidence: strangers' contracts run in a bounded child process."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from protocol.contracts.calls import Batch, Execution, Fetch, Rejected
from protocol.contracts.engine import engine_version
from protocol.contracts.fingerprint import engine_answers
from protocol.evidence.verdicts import CannotJudgeError
from protocol.limits import Limits
from streams.executor import Executor, ExecutorError

_WIDER = 8
"""How much wider a verifier's bounds are than the Auditor's; beyond them it cannot judge."""


class EngineProcess:
    """Executes contracts again; see `protocol.evidence.ports.Engine`."""

    def __init__(self, make: Callable[[Limits], Executor] | None = None) -> None:
        self._make = make or (lambda limits: Executor(limits, scale=_WIDER))
        self._executor: Executor | None = None
        self._limits: Limits | None = None

    @property
    def version(self) -> str:
        """Name and version of the engine."""
        return engine_version()

    @property
    def answers(self) -> bytes:
        """Hash of its answers to the known-answer suite."""
        return engine_answers()

    def execute(self, batch: Batch, fetch: Fetch, limits: Limits) -> tuple[Execution | Rejected, ...]:
        """Execute a batch.

        Raises:
            CannotJudgeError: it exhausts even a verifier's bounds.
        """
        if self._executor is None or limits != self._limits:
            self.close()
            self._executor, self._limits = self._make(limits), limits
        try:
            return self._executor.run(batch, fetch)
        except ExecutorError as error:
            raise CannotJudgeError(str(error)) from error

    def close(self) -> None:
        """End the child process."""
        if self._executor is not None:
            self._executor.close()
            self._executor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
