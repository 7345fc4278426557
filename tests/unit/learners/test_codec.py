"""The erasure code, and the guard before zfec that nothing may hang, crash or pass."""

import itertools
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.codec import CODEC, CodecError, ErasureCode, erasure_code
from tests.reference import erasure_code as reference

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "dispersal.json").read_text())
SIZES = [(1, 1), (1, 3), (2, 3), (3, 4), (5, 7), (11, 16), (22, 32)]


def vector_block(length: int) -> bytes:
    """The blocks of the golden vectors: SHA-256 in counter mode."""
    chunks = [sha256(index.to_bytes(8, "big")).digest() for index in range(length // 32 + 1)]
    return b"".join(chunks)[:length]


@pytest.mark.parametrize("vector", VECTORS["codes"], ids=lambda row: f"{row['k']},{row['n']}x{row['length']}")
def test_slices_are_those_of_the_golden_vectors(vector: dict[str, object]) -> None:
    """What a codec computes never changes under its name."""
    assert vector["codec"] == CODEC
    code = erasure_code(int(str(vector["k"])), int(str(vector["n"])))
    slices = code.encode(vector_block(int(str(vector["length"]))))
    assert [sha256(data).hexdigest() for data in slices] == vector["slices_sha256"]


@pytest.mark.parametrize(("k", "n"), [(1, 1), (2, 3), (3, 4), (5, 7)])
def test_every_choice_of_k_slices_gives_the_block_back(k: int, n: int) -> None:
    """Any `k` of `n` suffice, in whatever order they are held (attack list A15)."""
    code = erasure_code(k, n)
    block = vector_block(1001)
    slices = code.encode(block)
    for chosen in itertools.permutations(range(n), k):
        assert code.decode({index: slices[index] for index in chosen}, len(block)) == block


@given(data=st.data(), size=st.sampled_from(SIZES), block=st.binary(min_size=1, max_size=300))
def test_some_k_slices_give_any_block_back(data: st.DataObject, size: tuple[int, int], block: bytes) -> None:
    """Blocks shorter than `k`, with trailing zeros, of every remainder: no padding is ever guessed."""
    k, n = size
    code = erasure_code(k, n)
    slices = code.encode(block)
    assert {len(part) for part in slices} == {code.slice_bytes(len(block))}
    assert code.slice_bytes(len(block)) == -(-len(block) // k)
    chosen = data.draw(st.permutations(range(n)))[:k]
    assert code.decode({index: slices[index] for index in chosen}, len(block)) == block


def test_the_caller_s_slices_are_left_as_they_were() -> None:
    """zfec permutes the list it is given; nobody outside sees that."""
    code = erasure_code(3, 5)
    slices = code.encode(b"a block of some bytes")
    held = {4: slices[4], 2: slices[2], 0: slices[0]}
    before = list(held.items())
    code.decode(held, 21)
    assert list(held.items()) == before


@pytest.mark.parametrize(("k", "n"), [(0, 1), (2, 1), (-1, 3), (1, 257), (True, 2), (1.0, 2), (1, 2**70)])
def test_numbers_that_make_no_code_are_refused(k: int, n: int) -> None:
    """zfec crashes or wraps around on some of them."""
    with pytest.raises(CodecError):
        ErasureCode(k, n)


def test_an_empty_block_is_refused() -> None:
    """Empty slices make zfec skip its own check of lengths."""
    with pytest.raises(CodecError):
        erasure_code(3, 4).encode(b"")


@pytest.mark.parametrize(("k", "n"), [(1, 1), (1, 3), (3, 3), (3, 4), (5, 7), (11, 16)])
@pytest.mark.parametrize("length", [1, 4, 65])
def test_one_slice_is_the_one_that_all_slices_have_there(k: int, n: int, length: int) -> None:
    """A replica makes its own alone: the first that is no part of the block, too, and the padding of the last part."""
    code, block = erasure_code(k, n), vector_block(length)
    alone = [code.slice(block, index) for index in range(n)]
    assert alone == code.encode(block)
    assert {type(data) for data in alone} == {bytes}


@pytest.mark.parametrize("index", [-1, 5, 256, 2**64])
def test_a_slice_that_is_none_is_refused(index: int) -> None:
    """zfec reads outside its matrix for it."""
    with pytest.raises(CodecError, match="of 5"):
        erasure_code(3, 5).slice(b"a block", index)


@pytest.mark.parametrize("index", [0, 4])
def test_an_empty_block_has_no_slice(index: int) -> None:
    """Neither a part of it nor one that is computed."""
    with pytest.raises(CodecError, match="empty"):
        erasure_code(3, 5).slice(b"", index)


def bad_slices() -> dict[str, tuple[dict[int, bytes], int]]:
    """Hostile inputs for the code (3, 5) and a block of 30 bytes: slices are 10 bytes."""
    ten = bytes(10)
    return {
        "too few": ({0: ten, 1: ten}, 30),
        "too many": ({0: ten, 1: ten, 2: ten, 3: ten}, 30),
        "none": ({}, 30),
        "number n": ({0: ten, 1: ten, 5: ten}, 30),
        "number 255": ({0: ten, 1: ten, 255: ten}, 30),
        "number -1": ({0: ten, 1: ten, -1: ten}, 30),
        "number True": ({0: ten, True: ten, 2: ten}, 30),
        "empty first": ({0: b"", 1: ten, 3: ten}, 30),
        "all empty": ({0: b"", 1: b"", 3: b""}, 30),
        "all empty, length 0": ({0: b"", 1: b"", 3: b""}, 0),
        "one short": ({0: ten, 1: ten[:9], 3: ten}, 30),
        "one long": ({0: ten, 1: ten + b"x", 3: ten}, 30),
        "all alike, too short": ({0: ten, 1: ten, 3: ten}, 31),
        "all alike, too long": ({0: ten, 1: ten, 3: ten}, 27),
        "negative length": ({0: ten, 1: ten, 3: ten}, -30),
        "length 2^63": ({0: ten, 1: ten, 3: ten}, 2**63),
        "no bytes": ({0: ten, 1: "x" * 10, 3: ten}, 30),  # type: ignore[dict-item]
    }


@pytest.mark.parametrize("name", bad_slices())
def test_slices_that_zfec_would_choke_on_never_reach_it(name: str) -> None:
    """Attack list A11 and A12, each with its one error."""
    slices, length = bad_slices()[name]
    with pytest.raises(CodecError):
        erasure_code(3, 5).decode(slices, length)


FUZZ = """
import random, sys
from learners.codec import CodecError, ErasureCode
source = random.Random(int(sys.argv[1]))
numbers = [-1, 0, 1, 2, 3, 4, 5, 7, 16, 31, 32, 33, 255, 256, 257]
numbers += [2**31, 2**32 + 1, 2**64, True, 1.5, None, "2"]
accepted = refused = 0
for _ in range(int(sys.argv[2])):
    try:
        code = ErasureCode(source.choice(numbers[1:9]), source.choice(numbers[1:16]))
    except CodecError:
        refused += 1
        continue
    length = source.choice([source.randrange(1, 200), source.choice(numbers)])
    size = code.slice_bytes(length) if type(length) is int else 3
    count = code.k if source.random() < 0.8 else source.randrange(0, 40)
    honest = source.random() < 0.5
    slices = {}
    for _ in range(count):
        index = source.randrange(code.n) if honest or source.random() < 0.9 else source.choice(numbers)
        long = size if 0 <= size < 300 and (honest or source.random() < 0.9) else source.randrange(0, 9)
        slices[index] = source.randbytes(long)
    try:
        assert len(code.decode(slices, length)) == length
        accepted += 1
    except CodecError:
        refused += 1
print(accepted, refused)
"""


@pytest.mark.parametrize("seed", range(3))
def test_no_input_hangs_or_crashes_the_decoder(seed: int) -> None:
    """In a process of its own, because zfec's failures are endless loops and segmentation faults."""
    command = [sys.executable, "-c", FUZZ, str(seed), "20000"]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    accepted, refused = map(int, done.stdout.split())
    assert accepted > 1000, "the fuzzer must reach zfec"
    assert refused > 1000, "the fuzzer must meet the guard"


def test_wrong_slices_decode_to_wrong_bytes_silently() -> None:
    """Why nobody may trust a decoded block before its root came out: the code itself notices nothing."""
    code = erasure_code(3, 4)
    slices = code.encode(vector_block(300))
    lie = bytes([slices[3][0] ^ 1]) + slices[3][1:]
    assert code.decode({0: slices[0], 1: slices[1], 3: lie}, 300) != vector_block(300)


def test_codes_are_made_once() -> None:
    """Making one inverts a matrix."""
    assert erasure_code(3, 4) is erasure_code(3, 4)


@pytest.mark.parametrize(("k", "n"), [(1, 3), (2, 3), (3, 4), (5, 7), (11, 16), (22, 32)])
def test_the_code_is_what_its_definition_says(k: int, n: int) -> None:
    """A twin written from the definition alone computes the same slices."""
    assert erasure_code(k, n).encode(vector_block(65)) == reference.encode(k, n, vector_block(65))
