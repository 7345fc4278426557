"""For any parts, the tagged hash is its definition, and no two lists of parts share one."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.hashing import Tag, tagged
from tests.reference import hashing as reference

PARTS = st.lists(st.binary(max_size=40), max_size=6)
TAGS = st.sampled_from(Tag)


@given(TAGS, PARTS)
def test_the_definition(tag: Tag, parts: list[bytes]) -> None:
    """The fast hash is the one spelled out."""
    assert tagged(tag, *parts) == reference.tagged(tag, parts)


@given(PARTS, st.data())
def test_other_parts_have_another_hash(parts: list[bytes], data: st.DataObject) -> None:
    """Cutting the same bytes at other places gives another hash."""
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    others = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert (tagged("order", *parts) == tagged("order", *others)) == (parts == others)
