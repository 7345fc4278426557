"""More liars among the replicas than their epoch allows: what they signed together cannot be honest, whoever it was.

Nobody is named, because nobody can tell who of them lied. The kind is "too many liars"; its claims are:

| claim | what it shows |
|---|---|
| roots | pieces of one block whose roots cannot be those of honest replicas and `b` others |
| no block | `k + b` pieces of one root, no `k` of which give the block |
| chain | more than `b` replicas name a root before their block that more than `b` did not give to that block |

Rules:

1. Honest replicas sign the same root of a block, and one that continues the block before.
2. Of `m` distinct replicas at most `b` lie, as the epoch says, so `m - b` are honest. Where that cannot be, more
   than `b` lied.
3. A key that was given up since may be anybody's, so nothing is judged by it.
"""

from collections import defaultdict
from itertools import combinations
from math import comb

from protocol.evidence.case import Case
from protocol.evidence.ports import Made
from protocol.evidence.replica import ShownPiece, of_the_block, require_dispersal, require_one_root, show_piece
from protocol.evidence.verdicts import REPLICAS, CannotJudgeError, NothingProvenError, Proven

CHOICES = 10_000
"""The most choices of `k` pieces that are tried; 16 replicas of which 5 lie have 4,368."""


def judge_roots(case: Case) -> Proven:
    """Pieces of distinct replicas for one block, under several roots."""
    shown = _distinct(case, "piece")
    configuration = case.configuration(shown[0].header.epoch)
    roots: defaultdict[object, int] = defaultdict(int)
    for piece in shown:
        roots[of_the_block(piece.header)] += 1
    sizes = sorted(roots.values(), reverse=True)
    split = len(sizes) > 1 and sizes[1] > configuration.b
    hopeless = sizes[0] + configuration.n - len(shown) < configuration.k
    if not split and not hopeless:
        raise NothingProvenError("these roots can be those of honest replicas and of as many others as may be")
    return _proven(shown, configuration.b)


def judge_no_block(case: Case) -> Proven:
    """`k + b` pieces of one root; were `k` of them honest, these would give the block."""
    dispersal = require_dispersal(case)
    shown = _distinct(case, "piece")
    first = shown[0]
    configuration = case.configuration(first.header.epoch)
    if len(shown) < configuration.k + configuration.b:
        raise NothingProvenError("there may be honest replicas enough beside these")
    if comb(len(shown), configuration.k) > CHOICES:
        raise CannotJudgeError(f"{len(shown)} pieces have too many choices of {configuration.k}")
    require_one_root(shown)
    for chosen in combinations([piece[:2] for piece in shown], configuration.k):
        if dispersal.made_of(chosen, first.last, configuration) is Made.RIGHT:
            raise NothingProvenError("some of the pieces give the block")
    return _proven(shown, configuration.b)


def judge_chain(case: Case) -> Proven:
    """Pieces of a block and pieces of the one before it, of more than `b` replicas each, that do not fit."""
    later, earlier = _distinct(case, "piece"), _distinct(case, "previous")
    b = case.configuration(later[0].header.epoch).b
    b_before = case.configuration(earlier[0].header.epoch).b
    named = {piece.header.previous_block_root for piece in later}
    given = {piece.header.root for piece in earlier}
    if later[0].header.block != earlier[0].header.block + 1 or len(named) > 1 or len(given) > 1:
        raise NothingProvenError("these are not two blocks, one after the other, with one root each")
    if named == given or len(later) <= b or len(earlier) <= b_before:
        raise NothingProvenError("the later block continues the earlier one, or too few say so")
    return _proven(later, b)


def _distinct(case: Case, name: str) -> list[ShownPiece]:
    """The pieces of one name: of distinct replicas, of one block by number, sequences and last statement."""
    shown = [show_piece(case, data) for data in case.parts(name)]
    if not shown:
        raise NothingProvenError(f"there is no {name}")
    places = {(p.header.epoch, p.header.block, p.header.first_sequence, p.header.count) for p in shown}
    statements = {piece.header.last_statement_hash for piece in shown}
    if len(places) > 1 or len(statements) > 1 or len({piece.replica for piece in shown}) < len(shown):
        raise NothingProvenError("the pieces are not of distinct replicas for one block")
    if any(case.uses_retired_key(piece.replica) for piece in shown):
        raise CannotJudgeError("a key that its replica has given up signed one of the pieces")
    return shown


def _proven(shown: list[ShownPiece], b: int) -> Proven:
    numbers = ", ".join(str(piece.header.piece_index) for piece in shown)
    return Proven(REPLICAS, f"more than {b} of the replicas {numbers} lied about block {shown[0].header.block}")
