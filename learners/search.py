"""How a block is found among the pieces that name one root.

Rules:

1. Under a checksum that proves slices, any `k` of them give the block, or nothing does: one decoding. Those of
   replicas that were blamed are taken last.
2. Under the simple checksum every choice of `k` pieces is tried once, whenever a piece arrives all that hold
   this newest one. So with at most `b` wrong pieces it takes at most `C(k + b, k)` decodings (Theorem 3.4).
3. Such a search leaves out the pieces of replicas that were blamed: `k` that never lied are enough, and so
   whoever lied once never costs a decoding again. Only where fewer than `k` replicas are left are theirs tried.
4. If `k` and as many pieces as there may be wrong ones beside them were all tried in vain, more replicas lied
   than assumed.

Source: seed paper, sections 3.3 and 3.4.
"""

from collections.abc import Sequence, Set
from itertools import combinations
from typing import Generic, NamedTuple, Protocol, TypeVar

from learners.checksums import NotACodewordError, checksum_of, rebuild
from learners.dispersal import BlockDescription, Dispersal, Slice


class Share(Protocol):
    """What a replica sent: a slice whose hash was compared with the one it vouches for."""

    @property
    def replica(self) -> int:
        """Which replica sent it; its slice has the same number."""
        ...

    @property
    def slice(self) -> Slice:
        """The slice."""
        ...


AnyShare = TypeVar("AnyShare", bound=Share)


class FruitlessError(ValueError):
    """The pieces give no block of their root, and no other piece can help.

    Attributes:
        replicas: whose pieces should have been enough.
    """

    def __init__(self, detail: str, pieces: Sequence[Share]) -> None:
        super().__init__(detail)
        self.replicas = tuple(piece.replica for piece in pieces)


class Found(NamedTuple, Generic[AnyShare]):
    """A block, and the pieces that gave it."""

    dispersal: Dispersal
    pieces: tuple[AnyShare, ...]


class Search(Generic[AnyShare]):
    """The search for the block of one root.

    Args:
        description: which the root binds.
        root: of the block.
        b: how many replicas may lie.

    Attributes:
        decodes: decodings so far.
    """

    def __init__(self, description: BlockDescription, root: bytes, b: int) -> None:
        self._description = description
        self._root = root
        self._b = b
        self._proves_slices = checksum_of(description.checksum).proves_slices
        self._tried: list[AnyShare] = []
        self._misfits: list[AnyShare] = []
        self.decodes = 0

    def find(self, pieces: Sequence[AnyShare], blamed: Set[int]) -> Found[AnyShare] | None:
        """The block, and the pieces that gave it, if they are among these.

        Args:
            pieces: all that name the root, of distinct replicas; never fewer than the last time.
            blamed: replicas that were proved to lie.

        Raises:
            FruitlessError: more replicas lied than assumed.
        """
        if len(pieces) < self._description.k:
            return None
        if self._proves_slices:
            return self._decode_once(sorted(pieces, key=lambda piece: piece.replica in blamed))
        return self._try_choices(pieces, blamed)

    def _decode_once(self, pieces: Sequence[AnyShare]) -> Found[AnyShare]:
        chosen = tuple(pieces[: self._description.k])
        try:
            return Found(self._decode(chosen), chosen)
        except NotACodewordError as error:
            raise FruitlessError(str(error), chosen) from error

    def _try_choices(self, pieces: Sequence[AnyShare], blamed: Set[int]) -> Found[AnyShare] | None:
        k = self._description.k
        if self._description.n - len(blamed) < k:
            blamed = frozenset()
        taken = {piece.replica for piece in (*self._tried, *self._misfits)}
        slice_bytes = -(-self._description.block_length // k)
        for newest in pieces:
            if newest.replica in taken or newest.replica in blamed:
                continue
            if len(newest.slice.data) != slice_bytes:
                self._misfits.append(newest)
                continue
            for others in combinations(self._tried, k - 1):
                chosen = (*others, newest)
                try:
                    found = self._decode(chosen)
                except NotACodewordError:
                    continue
                return Found(found, chosen)
            self._tried.append(newest)
        spent = (*self._tried, *self._misfits)
        unheard = blamed - {piece.replica for piece in spent}
        if len(spent) >= k + max(0, self._b - len(unheard)):
            raise FruitlessError(f"no {k} of {len(spent)} pieces give a block of their root", spent)
        return None

    def _decode(self, chosen: Sequence[AnyShare]) -> Dispersal:
        self.decodes += 1
        return rebuild(self._description, self._root, {piece.replica: piece.slice for piece in chosen})
