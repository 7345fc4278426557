"""The normal case of PBFT (Castro and Liskov 1999) as one replica runs it: what makes the journal, or does not.

Rules:

1. The primary sends each update with its sequence (*pre-prepare*). A replica that has it broadcasts *prepare*, at a
   quorum of prepares *commit*, and at a quorum of commits the update is decided.
2. Updates are appended strictly in sequence. Whoever gets no pre-prepare has nothing to append, however many commits
   it sees: it is in the dark, and can prove nothing to anybody (paper, example 4.3).
3. There is no change of views here: the primary of these clusters lies, but in a way that nobody can show.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from learners.checkpoints.checkpoint import POSITION_BYTES, ClusterSize, digest

Phase = Literal["prepare", "commit", "no update received"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrePrepare:
    """The primary's proposal of an update."""

    sequence: int
    update: bytes

    @property
    def size_bytes(self) -> int:
        """Sequence and update."""
        return POSITION_BYTES + len(self.update)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A replica's word about an update: that it prepared or committed it, or that it never got one."""

    phase: Phase
    sequence: int
    digest: bytes

    @property
    def size_bytes(self) -> int:
        """Sequence and digest."""
        return POSITION_BYTES + len(self.digest)


ConsensusMessage = PrePrepare | Vote


class ConsensusSend(NamedTuple):
    """A message to one replica."""

    receiver: int
    message: ConsensusMessage


class ConsensusReplica:
    """One replica that follows the protocol.

    Attributes:
        journal: updates decided, or learned at a checkpoint, in sequence.
    """

    def __init__(self, size: ClusterSize, primary: int) -> None:
        self.journal: list[bytes] = []
        self._size = size
        self._primary = primary
        self._proposed: dict[int, bytes] = {}
        self._votes: defaultdict[tuple[Phase, int, bytes], set[int]] = defaultdict(set)
        self._sent: set[tuple[Phase, int]] = set()

    def receive(self, sender: int, message: ConsensusMessage) -> Sequence[ConsensusSend]:
        """Take part in deciding; what was decided in turn stands in `journal`."""
        if message.sequence < len(self.journal):
            return ()
        if isinstance(message, Vote):
            self._votes[message.phase, message.sequence, message.digest].add(sender)
        elif sender == self._primary:
            self._proposed.setdefault(message.sequence, message.update)
        sends = self._vote(message.sequence)
        self._append()
        return sends

    def append(self, updates: Sequence[bytes]) -> None:
        """Take over updates that a checkpoint has brought, and what was decided behind them."""
        self.journal += updates
        self._append()

    def _vote(self, sequence: int) -> list[ConsensusSend]:
        update = self._proposed.get(sequence)
        if update is None:
            return self._complain(sequence)
        named = digest(update)
        sends = self._once("prepare", sequence, named)
        if self._has_quorum("prepare", sequence, named):
            sends += self._once("commit", sequence, named)
        return sends

    def _complain(self, sequence: int) -> list[ConsensusSend]:
        """Tell the others that they vote on something that never came: no proof, as every liar can say so."""
        return self._once("no update received", sequence, b"")

    def _once(self, phase: Phase, sequence: int, named: bytes) -> list[ConsensusSend]:
        if (phase, sequence) in self._sent:
            return []
        self._sent.add((phase, sequence))
        vote = Vote(phase=phase, sequence=sequence, digest=named)
        return [ConsensusSend(receiver, vote) for receiver in range(self._size.n)]

    def _has_quorum(self, phase: Phase, sequence: int, named: bytes) -> bool:
        return len(self._votes[phase, sequence, named]) >= self._size.quorum

    def _append(self) -> None:
        """Append what is decided, as far as there is no gap; it is not needed any more."""
        while True:
            sequence = len(self.journal)
            update = self._proposed.get(sequence)
            if update is None or not self._has_quorum("commit", sequence, digest(update)):
                return
            self.journal.append(update)
