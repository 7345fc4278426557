"""Rebuilds one block after another from pieces, and finds out who lied. It knows nothing of what is in a block.

Rules:

1. It is given authentic pieces in any order, and told which statements are doubly signed (`vouch`). A piece
   counts for its block only if it names such a statement as the block's last.
2. `k > b`, so `k` pieces of distinct replicas under one root are more than the liars can be: one of them at
   least is honest, and honest replicas all name one root. `learners.search` says how the block is found.
3. Who uses a block judges it first, and only then goes on (`advance`). Every piece of the block, and every one
   that comes late while the block is remembered, is compared with what it should be.
4. It stops (`MoreLiarsError`) where more replicas must have lied than the configuration allows: pieces that give
   no block of their root, two roots of more than `b` replicas each, a root that `k` can no longer name, or a
   root that does not continue the one before it. It never guesses.
5. A replica with another key is another replica: a new epoch that replaces the key of one that was blamed
   clears its number, and what comes under the old key from then on, anybody may have signed: it blames nobody.

Source: seed paper, sections 3.3 and 3.4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from learners.blocks import BlockRange, BlockRanges
from learners.checksums import PieceError, check_header
from learners.dispersal import BlockDescription, Dispersal, describe
from learners.known_blocks import KnownBlock, KnownBlocks, Lie
from learners.pieces import OpenedPiece
from learners.search import Found, FruitlessError, Search
from learners.window import PieceWindow
from protocol.configuration import NONE, TREE, Epochs
from protocol.hashing import ZERO_HASH
from schemas.epoch import Configuration
from schemas.piece import PieceHeader
from schemas.statement import Countersigned

Admission = Literal["held", "late", "repeated", "altered", "misconfigured"]
"""What became of an authentic piece: kept for its block; of a block already learned; there already; its slice is
not the signed one, which the broker may have done, so that only its header is judged; of a replica that disperses
otherwise than its epoch says."""


_Voice = tuple[bytes, int, bytes, bytes]
"""What pieces that count may say differently: root, length, root of the block before, hash of the last statement."""

Claim = Literal["false block", "no block", "roots", "chain"]
"""How it shows that too many lied: pieces of one root that surely give no right block; that do not, and some of them
may be at fault and not the root; roots that cannot all be; a root that does not continue the one before."""


class MoreLiarsError(ValueError):
    """More replicas lied than the configuration allows.

    Attributes:
        claim: how that shows.
        pieces: which show it.
        previous: pieces of the block before, with "chain"; none if they are no longer held.
    """

    def __init__(
        self,
        detail: str,
        claim: Claim,
        pieces: Sequence[OpenedPiece],
        previous: Sequence[OpenedPiece] = (),
    ) -> None:
        super().__init__(detail)
        self.claim = claim
        self.pieces = tuple(pieces)
        self.previous = tuple(previous)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """A block that its root binds; whether the journal in it is right is for its user to check.

    Attributes:
        place: of the block.
        dispersal: the block under its root.
        pieces: which gave it.
        last: the doubly signed statement that it must end with.
    """

    place: BlockRange
    dispersal: Dispersal
    pieces: tuple[OpenedPiece, ...]
    last: Countersigned

    @property
    def block(self) -> bytes:
        """Its bytes."""
        return self.dispersal.block

    @property
    def root(self) -> bytes:
        """Its root."""
        return self.dispersal.root


class Reconstruction:
    """One reader of pieces: where it is, what it holds, and what it knows of the replicas.

    Args:
        epochs: genesis and configurations.
        window_bytes: memory for pieces; a quarter of it again for blocks that late pieces are compared with.
        block: number of the next block.
        previous_root: root of the block before it.
        blamed: replicas that were proved to lie.

    Attributes:
        decodes: decodings so far.
        wrong: by replica, authentic pieces that were not the block's.
        missing: by replica, blocks that were learned and of which it has sent nothing yet.
        newest: by replica, the greatest block it has sent a piece of, -1 before the first.
    """

    def __init__(
        self,
        *,
        epochs: Epochs,
        window_bytes: int,
        block: int = 0,
        previous_root: bytes = ZERO_HASH,
        blamed: frozenset[int] = frozenset(),
    ) -> None:
        replicas = max(configuration.n for configuration in epochs.configurations)
        self._epochs = epochs
        self._ranges = BlockRanges(epochs)
        self._block = block
        self._previous_root = previous_root
        self._blamed = blamed
        self._place = self._ranges.of_block(block)
        self._searches: dict[_Voice, Search[OpenedPiece]] = {}
        self._seen: set[Countersigned] = set()
        self._vouched: dict[bytes, Countersigned] = {}
        self._before: tuple[OpenedPiece, ...] = ()
        self._known = KnownBlocks(window_bytes // 4)
        self.window = PieceWindow(replicas, window_bytes)
        self.decodes = 0
        self.wrong = [0] * replicas
        self.missing = [0] * replicas
        self.newest = [-1] * replicas
        if block:
            self._clear_replaced(self._ranges.of_block(block - 1).epoch)  # it may not have been known there

    @property
    def block(self) -> int:
        """Number of the next block."""
        return self._block

    @property
    def previous_root(self) -> bytes:
        """Root of the block before it."""
        return self._previous_root

    @property
    def blamed(self) -> frozenset[int]:
        """Replicas that were proved to lie."""
        return self._blamed

    @property
    def place(self) -> BlockRange:
        """Of the next block."""
        return self._place

    def lag(self, replica: int) -> int:
        """How many blocks a replica is behind this reader."""
        return max(0, self._block - 1 - self.newest[replica])

    # --- Pieces ---

    def admit(self, piece: OpenedPiece) -> Admission:
        """Take in an authentic piece; one that is late is still to be judged (`judge_late`)."""
        header = piece.header
        if not piece.fits(self._epochs.at(header.epoch)):
            return "misconfigured"
        self.newest[piece.replica] = max(self.newest[piece.replica], header.block)
        if header.block < self._block:
            return "late"
        consistent = self._is_consistent(piece)
        counts = consistent and piece.slice_is_whole
        held = self.window.add(piece, counts)
        if consistent and not counts:
            return "altered"
        return "held" if held else "repeated"

    def _is_consistent(self, piece: OpenedPiece) -> bool:
        """Whether a header neither contradicts itself nor names another place than its block has."""
        header = piece.header
        place = self._place if header.block == self._block else self._ranges.of_block(header.block)
        named = (header.epoch, header.first_sequence, header.count)
        if named != (place.epoch, place.first_sequence, place.updates):
            return False
        try:
            check_header(header)
        except PieceError:
            return False
        return True

    # --- Last statements ---

    def unseen(self) -> list[Countersigned]:
        """Statements that are said to end the next block, each once; the doubly signed ones are to be vouched for."""
        found = []
        for piece in self.window.votes(self._block):
            if piece.last not in self._seen and piece.last_is_whole:
                self._seen.add(piece.last)
                found.append(piece.last)
        return found

    def vouch(self, last: Countersigned, statement_hash: bytes) -> None:
        """Say that both parties signed this as the statement that ends the next block."""
        self._vouched[statement_hash] = last

    @property
    def signed(self) -> list[Countersigned]:
        """Statements vouched for; two of them are two histories, which both parties signed."""
        return list(self._vouched.values())

    # --- Blocks ---

    def rebuild(self) -> Rebuilt | None:
        """The next block, if its pieces are there; it stays the next one until `advance`.

        There is none where two histories are doubly signed: honest replicas may differ then (`signed`).

        Raises:
            MoreLiarsError: more replicas lied than the configuration allows.
        """
        if len(self._vouched) != 1:
            return None
        place = self.place
        configuration = self._epochs.at(place.epoch)
        votes = self.window.votes(self._block)
        if len(votes) < configuration.k and _is_one_voice(votes):
            return None  # as after most messages
        voices: dict[_Voice, list[OpenedPiece]] = {}
        for piece in votes:
            last = self._vouched.get(piece.header.last_statement_hash)
            if last is not None:
                whole = piece if piece.last == last else replace(piece, last=last)  # the broker altered its copy
                voices.setdefault(_voice(piece.header), []).append(whole)
        _check_agreement(list(voices.values()), configuration)
        for pieces in voices.values():
            if len(pieces) < configuration.k:
                continue
            description = BlockDescription.of(pieces[0].header)
            found = self._search(description, pieces, configuration.b)
            if found is None:
                continue
            last_hash = description.last_statement_hash
            length = description.block_length
            if description != describe(configuration, place, length, self._previous_root, last_hash):
                text = f"block {self._block} does not follow the one before it"
                before = tuple(replace(piece, data=b"") for piece in self._before)
                raise MoreLiarsError(text, "chain", found.pieces, before)
            last = self._vouched[last_hash]
            return Rebuilt(place=place, dispersal=found.dispersal, pieces=found.pieces, last=last)
        return None

    def _search(
        self, description: BlockDescription, pieces: Sequence[OpenedPiece], b: int
    ) -> Found[OpenedPiece] | None:
        header = pieces[0].header
        search = self._searches.setdefault(_voice(header), Search[OpenedPiece](description, header.root, b))
        before = search.decodes
        try:
            return search.find(pieces, self._blamed)
        except FruitlessError as error:
            shown = [piece for piece in pieces if piece.replica in error.replicas]
            claim: Claim = "false block" if description.checksum == TREE else "no block"
            raise MoreLiarsError(str(error), claim, shown) from error
        finally:
            self.decodes += search.decodes - before

    def reject(self, rebuilt: Rebuilt, detail: str) -> MoreLiarsError:
        """What to raise where a rebuilt block is not what its user has to require of it."""
        claim: Claim = "no block" if rebuilt.dispersal.description.checksum == NONE else "false block"
        return MoreLiarsError(detail, claim, rebuilt.pieces)

    def advance(self, rebuilt: Rebuilt) -> list[Lie]:
        """Go on to the block after one that is right, and judge all its pieces: the lies that were not known."""
        known = KnownBlock(dispersal=rebuilt.dispersal, last=rebuilt.last)
        votes = self.window.votes(self._block)
        for piece in votes:
            known.dispersal.is_slice(piece.replica, piece.slice)
        pieces = self.window.take(self._block)
        lies = [lie for lie in (self._judge(piece, known) for piece in pieces) if lie is not None]
        for replica in range(known.dispersal.description.n):
            self.missing[replica] += replica not in known.heard
        self._known.remember(known)
        self._before = rebuilt.pieces
        self._block += 1
        self._place = self._ranges.of_block(self._block)
        self._previous_root = rebuilt.root
        self._searches.clear()
        self._seen.clear()
        self._vouched.clear()
        self._clear_replaced(rebuilt.place.epoch)
        return lies

    def _clear_replaced(self, epoch: int) -> None:
        """At the first block of an epoch, clear the numbers that have another key than before."""
        following = self.place.epoch
        if following != epoch and self._blamed:
            self._blamed = frozenset(i for i in self._blamed if self._has_one_key(i, epoch, following))

    def _has_one_key(self, replica: int, *epochs: int) -> bool:
        """Whether a number stands for the same replica in some epochs."""
        keys = {self._epochs.at(epoch).replica_keys[replica : replica + 1] for epoch in epochs}
        return len(keys) == 1

    # --- Blame ---

    def remembered(self, block: int) -> KnownBlock | None:
        """A block that was learned, if pieces of it can still be judged."""
        return self._known.get(block)

    def judge_late(self, piece: OpenedPiece) -> Lie | None:
        """Compare a piece of a block that was learned already with what it should be: a lie that was not known."""
        known = self._known.get(piece.header.block)
        if known is None:
            return None
        if piece.replica < known.dispersal.description.n and piece.replica not in known.heard:
            self.missing[piece.replica] -= 1
        return self._judge(piece, known)

    def _judge(self, piece: OpenedPiece, known: KnownBlock) -> Lie | None:
        known.heard.add(piece.replica)
        if known.is_of(piece):
            return None
        self.wrong[piece.replica] += 1
        if piece.replica in self._blamed or not self._has_one_key(piece.replica, piece.header.epoch, self.place.epoch):
            return None
        if not known.refutes(piece):
            return None
        self._blamed |= {piece.replica}
        return Lie(piece, known)


def _is_one_voice(votes: Sequence[OpenedPiece]) -> bool:
    """Whether all votes say the same of a block."""
    return len({_voice(piece.header) for piece in votes}) < 2


def _voice(header: PieceHeader) -> _Voice:
    """What a consistent header says of its block, as far as its block does not fix it (`_is_consistent`)."""
    return header.root, header.block_length, header.previous_block_root, header.last_statement_hash


def _check_agreement(roots: Sequence[Sequence[OpenedPiece]], configuration: Configuration) -> None:
    """Require that the votes for a block, by root, can be those of honest replicas and of `b` others.

    Raises:
        MoreLiarsError: they cannot.
    """
    if len(roots) < 2:
        return
    spoke = [piece for pieces in roots for piece in pieces]
    silent = configuration.n - len(spoke)
    sizes = sorted((len(pieces) for pieces in roots), reverse=True)
    if sizes[1] > configuration.b:
        raise MoreLiarsError(f"two roots have more than {configuration.b} replicas each", "roots", spoke)
    if sizes[0] + silent < configuration.k:
        raise MoreLiarsError(f"no root can have {configuration.k} replicas any more", "roots", spoke)
