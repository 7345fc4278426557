"""The broadcast checkpoint: every replica sends every block whole to every other. The upper end of the comparison.

A block counts when `b + 1` replicas have sent the same one: at least one of them is honest.
"""

from collections import defaultdict
from collections.abc import Sequence

from learners.checkpoints.checkpoint import (
    NOTHING,
    Answer,
    CheckpointMessage,
    ClusterSize,
    Content,
    Send,
    digest,
    to_all,
)


class BroadcastCheckpointer:
    """One replica that broadcasts blocks."""

    def __init__(self, size: ClusterSize) -> None:
        self._size = size
        self._senders: defaultdict[int, dict[int, bytes]] = defaultdict(dict)
        self._known: set[int] = set()

    def reached(self, block: int, data: bytes) -> Sequence[Send]:
        """Send it to all."""
        self._known.add(block)
        return to_all(self._size, Content(block=block, data=data))

    def receive(self, sender: int, message: CheckpointMessage) -> Answer:
        """Count who sent the same; the first message of each replica counts."""
        if not isinstance(message, Content) or message.block in self._known:
            return NOTHING
        said = digest(message.data)
        senders = self._senders[message.block]
        if sender in senders:
            return NOTHING
        senders[sender] = said
        if sum(other == said for other in senders.values()) <= self._size.b:
            return NOTHING
        self._known.add(message.block)
        del self._senders[message.block]
        return Answer(learned={message.block: message.data})
