"""Messages that arrived although nobody asks for their topic at present, and how much memory they take."""

from collections import deque

from storage.effects import Message

_OBJECT_BYTES = 200
"""About what the Python objects around a message's bytes take."""


class HeldMessages:
    """Queues by topic, in the order of arrival."""

    def __init__(self) -> None:
        self.bytes = 0
        self._queues: dict[str, deque[Message]] = {}

    def add(self, message: Message) -> None:
        """Hold a message back."""
        self._queues.setdefault(message.topic, deque()).append(message)
        self.bytes += _size(message)

    def take(self, topic: str, count: int) -> list[Message]:
        """Give up to `count` messages of a topic, oldest first, and keep them no longer."""
        queue = self._queues.get(topic)
        taken = [queue.popleft() for _ in range(min(count, len(queue)))] if queue else []
        self.bytes -= sum(map(_size, taken))
        return taken

    def holds(self, topic: str) -> bool:
        """Whether there is any message of this topic."""
        return bool(self._queues.get(topic))

    def drop(self, topic: str, partition: int) -> None:
        """Forget what is held of a partition."""
        queue = self._queues.pop(topic, deque())
        kept = deque(message for message in queue if message.partition != partition)
        self._queues[topic] = kept
        self.bytes += sum(map(_size, kept)) - sum(map(_size, queue))


def _size(message: Message) -> int:
    return len(message.value or b"") + len(message.key or b"") + _OBJECT_BYTES
