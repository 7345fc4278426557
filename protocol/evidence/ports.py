"""What a verifier of evidence asks of others: to execute contracts again, and to encode blocks again."""

from typing import Protocol

from protocol.contracts.calls import Batch, Execution, Fetch, Rejected
from protocol.limits import Limits
from schemas.epoch import Configuration
from schemas.piece import PieceHeader
from schemas.statement import Statement


class Engine(Protocol):
    """Executes contracts. Strangers wrote them: where that matters, let a child process do it."""

    @property
    def version(self) -> str:
        """Name and version of the contract engine, as an epoch's configuration names it."""
        ...

    @property
    def answers(self) -> bytes:
        """Hash of its answers to the known-answer suite."""
        ...

    def execute(self, batch: Batch, fetch: Fetch, limits: Limits) -> tuple[Execution | Rejected, ...]:
        """Execute a batch; the same as `protocol.contracts.execution.execute`.

        Raises:
            CannotJudgeError: it could not be carried through, for whatever reason.
        """
        ...


class Dispersal(Protocol):
    """Encodes a block again."""

    def expected(
        self, claimed: PieceHeader, block: bytes, last: Statement, configuration: Configuration
    ) -> PieceHeader:
        """What an honest replica signs as piece `claimed.piece_index` of a block.

        Args:
            claimed: only its piece_index and previous_block_root are taken over.
            block: the bytes of all its updates.
            last: the statement of its last update, which both parties signed.
            configuration: of its epoch.

        Raises:
            NothingProvenError: the bytes are not the whole block that ends in `last`, up to the last byte.
        """
        ...
