"""What is held back: in order, by topic, and never more or less than is said."""

from hypothesis import given
from hypothesis import strategies as st

from storage.effects import Message
from streams.held_messages import HeldMessages


def message(topic: str, partition: int, offset: int, size: int = 0) -> Message:
    return Message(
        topic=topic,
        partition=partition,
        offset=offset,
        leader_epoch=-1,
        key=b"k" * (size // 2) if size else None,
        value=b"v" * size if size else None,
        timestamp_ms=0,
    )


def test_a_message_takes_more_than_its_bytes() -> None:
    """Many empty ones take memory, too."""
    held = HeldMessages()
    held.add(message("a", 0, 0))
    empty = held.bytes
    held.add(message("a", 0, 1, size=1_000))
    assert empty > 0
    assert held.bytes == 2 * empty + 1_500


def test_a_partition_is_dropped_alone() -> None:
    """The others of its topic stay, in order."""
    held = HeldMessages()
    for offset in range(6):
        held.add(message("a", offset % 2, offset))
    held.add(message("b", 0, 9))
    held.drop("a", 0)
    held.drop("c", 0)
    assert [each.offset for each in held.take("a", 9)] == [1, 3, 5]
    assert not held.holds("a")
    assert held.holds("b")
    assert [each.offset for each in held.take("b", 9)] == [9]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.sampled_from("ab"), st.integers(0, 1), st.integers(0, 50)),
            st.tuples(st.just("take"), st.sampled_from("ab"), st.integers(0, 3), st.just(0)),
            st.tuples(st.just("drop"), st.sampled_from("ab"), st.integers(0, 1), st.just(0)),
        )
    )
)
def test_what_is_counted_is_what_is_held(steps: list[tuple[str, str, int, int]]) -> None:
    """Whatever is added, taken and dropped: a reader that counted wrongly would stop reading, or hold without bound."""
    held = HeldMessages()
    for offset, (step, topic, number, size) in enumerate(steps):
        match step:
            case "add":
                held.add(message(topic, number, offset, size))
            case "take":
                assert len(held.take(topic, number)) <= number
            case _:
                held.drop(topic, number)
    counted = held.bytes
    alone = HeldMessages()
    for topic in "ab":
        for each in held.take(topic, len(steps)):
            alone.add(each)
    assert counted == alone.bytes
    assert held.bytes == 0
