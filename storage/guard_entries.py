"""The rule of the signing guard, without a disk: what may be noted, and what is kept.

1. A place (kind, epoch, sequence) holds one hash for ever; the same hash again changes nothing.
2. Within an epoch a kind grows at its end only: the next sequence, chained to the last entry's hash.
3. The first entry of a kind is taken as it comes, since a lost guard starts again where its party is. So is
   the
   first one of a newer epoch: the cut makes the numbers above it free again, and rejections begin anew.
4. A place of an older epoch, or below what is kept, cannot be judged any more and is refused.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from storage.errors import EquivocationError
from storage.ports import GuardKind, Place


class GuardEntries:
    """The last `keep` entries of each kind.

    Args:
        keep: entries of a kind; four times the window W, twice what is sent again.
    """

    def __init__(self, keep: int) -> None:
        assert keep > 0, "a guard without memory guards nothing"
        self._keep = keep
        self._in_order: dict[GuardKind, deque[Place]] = {}
        self._by_place: dict[tuple[GuardKind, int, int], Place] = {}

    def __iter__(self) -> Iterator[Place]:
        for entries in self._in_order.values():
            yield from entries

    def __len__(self) -> int:
        return len(self._by_place)

    def new(self, places: Sequence[Place]) -> list[Place]:
        """Those of the places that must be added, after checking all of them.

        Raises:
            EquivocationError: a place holds another hash, or is no successor.
        """
        new: list[Place] = []
        last: dict[GuardKind, Place | None] = {}
        fresh: dict[tuple[GuardKind, int, int], Place] = {}
        for place in places:
            name = (place.kind, place.epoch, place.sequence)
            present = fresh.get(name) or self._by_place.get(name)
            if present is not None:
                _check_same(place, present)
                continue
            _check_follows(place, last.get(place.kind) or self.highest(place.kind))
            new.append(place)
            fresh[name] = last[place.kind] = place
        return new

    def add(self, places: Iterable[Place]) -> None:
        """Take entries that `new` gave, or that were taken before."""
        for place in places:
            entries = self._in_order.setdefault(place.kind, deque())
            entries.append(place)
            self._by_place[place.kind, place.epoch, place.sequence] = place
            if len(entries) > self._keep:
                oldest = entries.popleft()
                del self._by_place[oldest.kind, oldest.epoch, oldest.sequence]

    def highest(self, kind: GuardKind) -> Place | None:
        """The last entry of a kind."""
        entries = self._in_order.get(kind)
        return entries[-1] if entries else None

    def entry(self, kind: GuardKind, epoch: int, sequence: int) -> Place | None:
        """What a place holds."""
        return self._by_place.get((kind, epoch, sequence))


def _check_same(place: Place, present: Place) -> None:
    if place.hash != present.hash:
        raise EquivocationError(f"{_name(place)} holds {present.hash.hex()}, not {place.hash.hex()}")


def _check_follows(place: Place, last: Place | None) -> None:
    if last is None or place.epoch > last.epoch:
        return
    if place.epoch < last.epoch or place.sequence != last.sequence + 1:
        raise EquivocationError(f"{_name(place)} does not come next after {_name(last)}")
    if place.previous_hash != last.hash:
        raise EquivocationError(f"{_name(place)} does not chain to {_name(last)} with {last.hash.hex()}")


def _name(place: Place) -> str:
    return f"{place.kind} {place.sequence} of epoch {place.epoch}"
