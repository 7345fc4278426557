"""Erasure coding of a block: `n` slices, any `k` of which give the block back (seed paper 3.1; Rabin 1989).

This is the only door to zfec, and it is guarded. Unchecked, zfec hangs for ever on a repeated slice number,
reads outside its buffers on a number out of range or an empty slice, and permutes the list it is given. So:

1. A decoder gets exactly `k` slices, numbered within `0 <= index < n`, all of the one length that the block's
   length implies. Anything else raises `CodecError` before zfec sees it.
2. Slices that are parts of the block itself are put in their own places, so zfec has nothing to move, and it
   is not asked at all when no part is missing.
3. The code is systematic: slice `i < k` is the `i`-th part of the block, the last parts padded with zeros. A
   slice is exactly `ceil(length / k)` bytes, the paper's optimum; the length travels beside it.

What a codec computes never changes under its name: `CODEC` stands in the epoch's configuration and in every
block's root.
"""

from collections.abc import Mapping
from functools import lru_cache

import zfec

CODEC = "zfec"
"""Reed-Solomon over GF(2^8), polynomial 0x11d, systematic Vandermonde matrix: what zfec 1.x computes."""

N_MAX = 256
"""The most slices: one per element of the field."""


class CodecError(ValueError):
    """Slices or sizes that no code can work with."""


class ErasureCode:
    """One systematic code; `erasure_code` keeps them, because making one inverts a matrix.

    Attributes:
        k: slices that suffice.
        n: slices in all.
    """

    __slots__ = ("_decoder", "_encoder", "k", "n")

    def __init__(self, k: int, n: int) -> None:
        if type(k) is not int or type(n) is not int or not 1 <= k <= n <= N_MAX:
            raise CodecError(f"k={k}, n={n}: 1 <= k <= n <= {N_MAX} is required")
        self.k = k
        self.n = n
        self._encoder = zfec.Encoder(k, n)
        self._decoder = zfec.Decoder(k, n)

    def slice_bytes(self, block_length: int) -> int:
        """Bytes of each slice of a block of `block_length` bytes."""
        return -(-block_length // self.k)

    def encode(self, block: bytes) -> list[bytes]:
        """All `n` slices of a block.

        Raises:
            CodecError: the block is empty.
        """
        if not block:
            raise CodecError("an empty block has no slices")
        parts = self._parts(block)
        if self.n > self.k:
            parts += self._encoder.encode(parts, tuple(range(self.k, self.n)))
        return parts

    def slice(self, block: bytes, index: int) -> bytes:
        """One slice of a block; where it is a part of the block, nothing is computed.

        Raises:
            CodecError: the block is empty, or there is no such slice.
        """
        if not 0 <= index < self.n:
            raise CodecError(f"slice {index} of {self.n}")
        if not block:
            raise CodecError("an empty block has no slices")
        if index < self.k:
            size = self.slice_bytes(len(block))
            return block[index * size : (index + 1) * size].ljust(size, b"\0")
        (made,) = self._encoder.encode(self._parts(block), (index,))
        return bytes(made)

    def _parts(self, block: bytes) -> list[bytes]:
        """A block cut into `k` parts of one length, the last ones padded."""
        size = self.slice_bytes(len(block))
        return [block[start : start + size].ljust(size, b"\0") for start in range(0, self.k * size, size)]

    def decode(self, slices: Mapping[int, bytes], block_length: int) -> bytes:
        """The block that `k` slices determine; whether they are one block's is for the caller to check.

        Raises:
            CodecError: not exactly `k` slices, a number out of range, or a length that does not fit.
        """
        size = self._check(slices, block_length)
        missing = [index for index in range(self.k) if index not in slices]
        if not missing:
            parts = [slices[index] for index in range(self.k)]
        else:
            others = [index for index in sorted(slices) if index >= self.k]
            substitutes = dict(zip(missing, others, strict=True))
            places = [substitutes.get(index, index) for index in range(self.k)]
            parts = self._decoder.decode([slices[place] for place in places], places)
        if block_length == self.k * size:
            return b"".join(parts)
        return b"".join(parts)[:block_length]

    def _check(self, slices: Mapping[int, bytes], block_length: int) -> int:
        if type(block_length) is not int or block_length < 1:
            raise CodecError(f"a block of {block_length} bytes")
        if len(slices) != self.k:
            raise CodecError(f"{len(slices)} slices instead of {self.k}")
        size = self.slice_bytes(block_length)
        for index, data in slices.items():
            if type(index) is not int or not 0 <= index < self.n:
                raise CodecError(f"slice {index} of {self.n}")
            if type(data) is not bytes or len(data) != size:
                raise CodecError(f"slice {index} is not {size} bytes")
        return size


@lru_cache(maxsize=16)
def erasure_code(k: int, n: int) -> ErasureCode:
    """The code of these numbers, made once.

    Raises:
        CodecError: the numbers make no code.
    """
    return ErasureCode(k, n)
