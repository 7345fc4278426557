"""Dispersal, bytes in and bytes out: framing, the tree checksum, and the attacks on one piece.

The numbers A1 to A20 are those of the attack list on dispersal; attacks on votes, windows and order of
arrival are in `test_learner_attacks.py`.
"""

import itertools
import json
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.checksums import NULL_LEAF, NotACodewordError, PieceError, check_header, disperse, rebuild
from learners.codec import CODEC, erasure_code
from learners.dispersal import BlockDescription, BlockError, Dispersal, Slice, frame_block, open_block, slice_hash
from protocol import merkle
from protocol.configuration import TREE
from schemas.piece import PieceHeader
from tests.vectors.make_dispersal import block_of, description_of

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "dispersal.json").read_text())


def about(n: int, k: int, length: int) -> BlockDescription:
    return description_of(k, n, length)


def dispersal_of(n: int, k: int, block: bytes) -> Dispersal:
    return disperse(about(n, k, len(block)), block, erasure_code(k, n))


def slices_of(made: Dispersal) -> list[bytes]:
    return [made.slice(index) for index in range(made.description.n)]


def held(made: Dispersal, indices: tuple[int, ...]) -> dict[int, Slice]:
    return {index: Slice(made.slice(index), made.slice_hash(index)) for index in indices}


# --- Framing ---


@given(updates=st.lists(st.binary(max_size=40), min_size=1, max_size=9))
def test_a_block_gives_exactly_its_updates_back(updates: list[bytes]) -> None:
    """Empty updates and updates that look like padding or lengths too (A20)."""
    assert open_block(frame_block(updates), len(updates)) == updates


@given(updates=st.lists(st.binary(max_size=9), min_size=1, max_size=5), data=st.data())
def test_any_other_bytes_are_no_such_block(updates: list[bytes], data: st.DataObject) -> None:
    """One byte more or less, or another count, never passes for a block."""
    block = frame_block(updates)
    cut = data.draw(st.integers(0, len(block) - 1))
    for bad, count in [
        (block[:cut], len(updates)),
        (block + b"\0", len(updates)),
        (block, len(updates) + 1),
        (block, len(updates) - 1),
        (block, 0),
        (block, -1),
        (block, 2**63),
    ]:
        with pytest.raises(BlockError):
            open_block(bad, count)


def test_a_length_beyond_the_end_is_no_block() -> None:
    """An update may not claim bytes that are not there."""
    with pytest.raises(BlockError):
        open_block(b"\xff\xff\xff\xffxx", 1)


# --- Tree ---


@pytest.mark.parametrize("vector", VECTORS["trees"], ids=lambda row: f"{row['k']},{row['n']}")
def test_roots_are_those_of_the_golden_vectors(vector: dict[str, object]) -> None:
    """Framing of what is bound, leaves, null leaves and nodes never change within a format."""
    n, k = int(str(vector["n"])), int(str(vector["k"]))
    made = dispersal_of(n, k, block_of(1000))
    assert made.root.hex() == vector["root"]
    assert [node.hex() for node in made.path(n - 1)] == vector["last_path"]


@pytest.mark.parametrize("vector", VECTORS["roots"], ids=lambda row: f"{row['checksum']},{row['k']},{row['n']}")
def test_roots_of_the_other_checksums_are_golden_too(vector: dict[str, object]) -> None:
    """Without a tree a root binds the block's hash, or nothing of it, in one form for ever."""
    n, k = int(str(vector["n"])), int(str(vector["k"]))
    described = description_of(k, n, 1000, str(vector["checksum"]))
    assert disperse(described, block_of(1000), erasure_code(k, n)).root.hex() == vector["root"]


@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 2), (4, 3), (7, 5), (16, 11), (32, 22)])
def test_every_honest_header_passes_with_a_path_of_one_length(n: int, k: int) -> None:
    """The paper's tree is balanced: `ceil(log2 n)` nodes for every replica."""
    made = dispersal_of(n, k, block_of(500))
    for index in range(n):
        header = made.header(index)
        check_header(header)
        assert len(header.path) == (n - 1).bit_length()
        assert BlockDescription.of(header) == made.description
        assert PieceHeader.from_bytes(header.to_bytes()) == header


@pytest.mark.parametrize("field", [field.name for field in fields(PieceHeader) if field.name != "format"])
def test_every_field_of_a_header_is_bound(field: str) -> None:
    """A9, A2, A5: a piece under another number, epoch, ledger, length, index, root or path is no piece."""
    header = dispersal_of(4, 3, block_of(500)).header(1)
    value = getattr(header, field)
    match value:
        case int():
            other: Any = value + 1
        case str():
            other = value + "x"
        case bytes():
            other = sha256(value).digest()
        case _:
            other = tuple(reversed(value))
    with pytest.raises(PieceError):
        check_header(replace(header, **{field: other}))


def test_nothing_can_be_moved_between_what_is_bound() -> None:
    """Names of variable length are framed: codec and checksum cannot lend each other letters."""
    header = dispersal_of(4, 3, block_of(500)).header(1)
    with pytest.raises(PieceError):
        check_header(replace(header, codec=header.codec + header.checksum[0], checksum=header.checksum[1:]))


@pytest.mark.parametrize(
    "change",
    ["short", "long", "extra null", "empty", "short node", "swapped with the leaf", "doubled"],
)
def test_a_path_has_exactly_one_form(change: str) -> None:
    """A3: too short, too long, an extra node, a node of another size."""
    header = dispersal_of(4, 3, block_of(500)).header(2)
    path = header.path
    bad = {
        "short": path[:-1],
        "long": (*path, path[-1]),
        "extra null": (*path, bytes(32)),
        "empty": (),
        "short node": (path[0][:31], path[1]),
        "swapped with the leaf": (header.slice_hash, path[1]),
        "doubled": (path[0], path[0]),
    }[change]
    with pytest.raises(PieceError):
        check_header(replace(header, path=bad))


def test_an_inner_node_is_no_leaf() -> None:
    """A4: neither a node of the tree nor a leaf's own hash passes for a slice hash with a shorter path."""
    made = dispersal_of(4, 3, block_of(500))
    leaves = [index.to_bytes(4, "big") + hashed for index, hashed in enumerate(map(made.slice_hash, range(4)))]
    inner = merkle.root(leaves[:2])
    for candidate in (inner, merkle.leaf_hash(leaves[0])):
        for path in ((), (merkle.root(leaves[2:]),), made.path(0)):
            with pytest.raises(PieceError):
                check_header(replace(made.header(0), slice_hash=candidate, path=path))


@pytest.mark.parametrize("n", [3, 5, 7])
def test_no_piece_stands_where_a_null_leaf_is(n: int) -> None:
    """Trees are filled with a constant no slice can have; an index of `n` or more is never accepted."""
    made = dispersal_of(n, n - 1, block_of(500))
    header = made.header(n - 1)
    for index in range(n, 8):
        with pytest.raises(PieceError):
            check_header(replace(header, piece_index=index))
    with pytest.raises(PieceError):
        check_header(replace(header, piece_index=-1))
    assert len(NULL_LEAF) != len(merkle.leaf_hash(b"")) + 4, "a real leaf has another length"


def test_fewer_and_more_replicas_never_give_one_root() -> None:
    """CVE-2012-2459 and its like: a doubled last slice, or an empty one, is not the same tree."""
    three = disperse(about(3, 3, 9), b"123456789", erasure_code(3, 3))
    doubled = [*slices_of(three), three.slice(2)]

    class Doubling:
        def encode(self, block: bytes) -> list[bytes]:
            return doubled

        def slice(self, block: bytes, index: int) -> bytes:
            return doubled[index]

    four = disperse(about(4, 3, 9), b"123456789", Doubling())
    same_text = disperse(replace(about(4, 3, 9), n=3), b"123456789", Doubling())
    assert len({three.root, four.root, same_text.root}) == 3


@pytest.mark.parametrize("number", [-(2**63), -1, 0, 2**31, 2**62, 2**63 - 1])
@pytest.mark.parametrize(
    "field", ["n", "k", "piece_index", "block", "count", "block_length", "first_sequence"]
)
def test_numbers_out_of_all_reason_are_only_refused(field: str, number: int) -> None:
    """A10: nothing overflows, allocates or loops on a hostile number."""
    header = dispersal_of(4, 3, block_of(500)).header(1)
    change: dict[str, Any] = {field: number}
    with pytest.raises(PieceError):
        check_header(replace(header, **change))


# --- Decoding ---


def test_a_flipped_bit_in_a_slice_has_another_hash() -> None:
    """A1: the slice of a piece is checked against the hash its replica signed."""
    made = dispersal_of(4, 3, block_of(500))
    for bit in range(8 * len(made.slice(0))):
        data = bytearray(made.slice(0))
        data[bit // 8] ^= 1 << bit % 8
        assert slice_hash(bytes(data)) != made.slice_hash(0)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (4, 3), (4, 2), (7, 5)])
def test_every_k_slices_give_the_block_and_every_other_slice(n: int, k: int) -> None:
    """A15: whatever arrives first, the same block, the same root, and every replica's true slice."""
    block = block_of(1001)
    made = dispersal_of(n, k, block)
    for chosen in itertools.permutations(range(n), k):
        again = rebuild(made.description, made.root, held(made, chosen))
        assert again.block == block
        assert all(again.header(index) == made.header(index) for index in range(n))
        assert slices_of(again) == slices_of(made)


class Liar:
    """Encodes as it likes: some slices replaced before the tree is built."""

    def __init__(self, k: int, n: int, lies: dict[int, bytes]) -> None:
        self.code = erasure_code(k, n)
        self.lies = lies

    def encode(self, block: bytes) -> list[bytes]:
        return [self.lies.get(index, data) for index, data in enumerate(self.code.encode(block))]

    def slice(self, block: bytes, index: int) -> bytes:
        return self.encode(block)[index]


@pytest.mark.parametrize("chosen", list(itertools.combinations(range(4), 3)))
def test_a_root_over_slices_of_no_codeword_never_gives_a_block(chosen: tuple[int, ...]) -> None:
    """A13: correct-looking root, paths and hashes; whatever is decoded, the root does not come out."""
    block = block_of(500)
    for wrong in range(4):
        lie = Liar(3, 4, {wrong: bytes(167)})
        made = disperse(about(4, 3, 500), block, lie)
        for index in range(4):
            check_header(made.header(index))
        with pytest.raises(NotACodewordError):
            rebuild(made.description, made.root, held(made, chosen))


def test_padding_is_part_of_the_codeword() -> None:
    """A20: the same block with other bytes behind its end is another root, and no block."""
    code = erasure_code(3, 4)
    padded = code.encode(block_of(500) + b"\1")  # 501 bytes: slices of 167 bytes, as for 500
    made = disperse(about(4, 3, 500), block_of(500), Liar(3, 4, dict(enumerate(padded))))
    for chosen in itertools.combinations(range(4), 3):
        with pytest.raises(NotACodewordError):
            rebuild(made.description, made.root, held(made, chosen))


@pytest.mark.parametrize(
    "change",
    [
        {"block_length": 0},
        {"block_length": 499},
        {"block_length": 502},
        {"block_length": -1},
        {"block_length": 2**63 - 1},
        {"k": 2},
        {"k": 4},
        {"k": 0},
        {"n": 3},
        {"n": 300},
        {"n": 2**63 - 1},
    ],
    ids=str,
)
def test_a_description_that_does_not_fit_its_slices_never_gives_a_block(change: dict[str, Any]) -> None:
    """A6 of the earlier attempt: lengths and numbers that are bound by a false root end in the one error."""
    made = dispersal_of(4, 3, block_of(500))
    description = replace(made.description, **change)
    with pytest.raises(NotACodewordError):
        rebuild(description, made.root, held(made, (0, 1, 2)))


@given(data=st.data())
def test_lies_of_any_kind_never_give_another_block(data: st.DataObject) -> None:
    """Whatever slices a false root is built over, the result is the honest block or the one error."""
    n, k = data.draw(st.sampled_from([(3, 2), (4, 3), (7, 5)]))
    block = data.draw(st.binary(min_size=1, max_size=64))
    size = -(-len(block) // k)
    liars = data.draw(st.sets(st.integers(0, n - 1), max_size=n))
    lies = {index: data.draw(st.binary(min_size=size, max_size=size)) for index in liars}
    made = disperse(about(n, k, len(block)), block, Liar(k, n, lies))
    chosen = tuple(data.draw(st.permutations(range(n)))[:k])
    try:
        again = rebuild(made.description, made.root, held(made, chosen))
    except NotACodewordError:
        assert slices_of(made) != erasure_code(k, n).encode(block)
    else:
        assert again.root == made.root
        assert slices_of(again) == erasure_code(k, n).encode(again.block) == slices_of(made)


def test_a_reused_hash_changes_nothing() -> None:
    """The shortcut for slices hashed before is taken only where the slice comes out alike."""
    block = block_of(500)
    made = dispersal_of(4, 3, block)
    false = {index: Slice(b"x" * 167, bytes(32)) for index in range(4)}
    assert disperse(made.description, block, erasure_code(3, 4), false).root == made.root


def test_constants_that_are_part_of_the_format() -> None:
    """They stand in configurations and roots."""
    assert (CODEC, TREE, NULL_LEAF) == ("zfec", "tree", b"null")


@pytest.mark.parametrize(
    ("n", "b", "slice_bytes", "tree_bytes"),
    [(4, 1, 342, 96), (7, 2, 359, 128), (16, 5, 373, 160), (32, 10, 373, 192)],
)
def test_a_piece_costs_what_the_paper_says(n: int, b: int, slice_bytes: int, tree_bytes: int) -> None:
    """Theorem 3.2: `ceil(S / g)` bytes of slice, `32 (1 + ceil(log2 n))` of checksum, no hidden constant."""
    made = dispersal_of(n, n - b, block_of(256 * n))
    for index in range(n):
        header = made.header(index)
        assert len(made.slice(index)) == slice_bytes
        assert len(header.root) + sum(map(len, header.path)) == tree_bytes
