"""What a verifier of evidence asks of others: to execute contracts again, and to encode blocks again."""

from collections.abc import Sequence
from enum import Enum
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


class Made(Enum):
    """What slices under one root give."""

    RIGHT = "right"  # the whole block that ends in its last statement
    FALSE = "false"  # bytes that are under the root, and not that block
    NOTHING = "nothing"  # nothing that is under the root


class Dispersal(Protocol):
    """Encodes a block again, and decodes one."""

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

    def made_of(
        self, pieces: Sequence[tuple[PieceHeader, bytes]], last: Statement, configuration: Configuration
    ) -> Made:
        """What exactly `k` slices give.

        Args:
            pieces: headers that say the same of one block, of distinct replicas, each with the slice of which it
                has the hash.
            last: the statement that the block must end with, which both parties signed.
            configuration: of its epoch.

        Raises:
            NothingProvenError: no block of this description ends in `last`, or a header contradicts itself: a slice
                that is not under the root says nothing of who signed it.
        """
        ...
