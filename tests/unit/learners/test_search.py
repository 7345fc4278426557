"""The search under the simple checksum: whose pieces are spent, and when nothing can help any more."""

from dataclasses import dataclass

import pytest

from learners.checksums import disperse
from learners.codec import CODEC, erasure_code
from learners.dispersal import BlockDescription, Slice, slice_hash
from learners.search import FruitlessError, Search
from protocol.hashing import ZERO_HASH

N, B, K = 7, 2, 3
BLOCK = bytes(range(200))
ABOUT = BlockDescription(
    ledger_id=ZERO_HASH,
    epoch=0,
    block=0,
    first_sequence=0,
    count=1,
    n=N,
    k=K,
    codec=CODEC,
    checksum="simple",
    block_length=len(BLOCK),
    previous_block_root=ZERO_HASH,
    last_statement_hash=ZERO_HASH,
)
MADE = disperse(ABOUT, BLOCK, erasure_code(K, N))


@dataclass(frozen=True)
class Held:
    """A share: the true one of a replica, or a lie."""

    replica: int
    slice: Slice


def share(replica: int, *, lies: bool = False) -> Held:
    data = MADE.slice(replica)
    data = bytes(len(data)) if lies else data
    return Held(replica, Slice(data, slice_hash(data)))


def test_a_liar_that_was_tried_and_is_blamed_later_is_not_counted_twice() -> None:
    """Its piece is spent already: two honest ones and two liars are no proof of a third, so the search goes on."""
    search: Search[Held] = Search(ABOUT, MADE.root, B)
    held = [share(0, lies=True), share(1, lies=True), share(2), share(3)]
    assert search.find(held[:3], frozenset()) is None
    assert search.find(held, frozenset({0})) is None
    found = search.find([*held, share(4)], frozenset({0, 1}))
    assert found is not None
    assert found.dispersal.block == BLOCK


def test_a_liar_that_was_never_heard_needs_no_piece_of_its_own() -> None:
    """Where both liars are known and silent, three pieces in vain prove a third liar."""
    search: Search[Held] = Search(ABOUT, MADE.root, B)
    with pytest.raises(FruitlessError):
        search.find([share(2), share(3), share(4, lies=True)], frozenset({0, 1}))


def test_k_and_b_pieces_in_vain_prove_one_liar_too_many() -> None:
    """Three of five pieces are wrong: no three give the block, and no sixth can help by the assumption."""
    search: Search[Held] = Search(ABOUT, MADE.root, B)
    held = [share(replica, lies=replica < 3) for replica in range(5)]
    with pytest.raises(FruitlessError):
        search.find(held, frozenset())


def test_pieces_of_another_length_are_spent_without_a_decoding() -> None:
    """They can be no part of the block, and count among the wrong ones: a third of them is one liar too many."""
    search: Search[Held] = Search(ABOUT, MADE.root, B)
    short = [Held(replica, Slice(b"short", slice_hash(b"short"))) for replica in range(3)]
    assert search.find([*short, share(3)], frozenset()) is None
    with pytest.raises(FruitlessError):
        search.find([*short, share(3), share(4)], frozenset())
    assert search.decodes == 0


def test_who_was_blamed_is_tried_where_nobody_else_is_left() -> None:
    """Fewer than k others: what the known liars send now may be true."""
    search: Search[Held] = Search(ABOUT, MADE.root, B)
    found = search.find([share(0), share(1), share(2)], frozenset(range(5)))
    assert found is not None
    assert found.dispersal.block == BLOCK
