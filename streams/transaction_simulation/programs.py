"""What clients do in one transaction: moving money, counting registers, tidying shelves, or a bit of everything."""

import random
from collections.abc import Callable

from storage.model.operations import AnyScan, Bound, Key, Scan, ScanAll, ScanByIndex
from storage.model.predicates import Comparison, Operator
from storage.transactions.effects import Steps
from streams.transaction_simulation.session import Session
from streams.transaction_simulation.tables import (
    ACCOUNTS,
    COLOURS,
    ITEMS,
    SHELVES,
    account,
    place,
)

ACCOUNT_COUNT = 5
PLACES = 4
OPENING_BALANCE = 100

Program = Callable[[Session, random.Random], Steps[None]]

_BANK, _SHOP = ACCOUNTS.name, ITEMS.name


def transfer(session: Session, rng: random.Random) -> Steps[None]:
    """Move money between two accounts."""
    keys = [account(number) for number in rng.sample(range(ACCOUNT_COUNT), 2)]
    if rng.random() < 0.5:
        rows = yield from session.get_many(_BANK, keys)
    else:
        rows = []
        for key in keys:
            rows.append((yield from session.get(_BANK, key)))
    amount = rng.randint(1, 30)
    for key, row, sign in zip(keys, rows, (-1, 1), strict=True):
        assert row is not None, "accounts are never closed"
        balance = row["balance"]
        assert isinstance(balance, int)
        yield from session.update(_BANK, key, {"balance": balance + sign * amount})


def audit(session: Session, rng: random.Random) -> Steps[None]:
    """Read every account."""
    if rng.random() < 0.5:
        yield from session.scan(ScanAll(table=_BANK))
    else:
        yield from session.get_many(_BANK, [account(number) for number in range(ACCOUNT_COUNT)])


def skew(session: Session, rng: random.Random) -> Steps[None]:
    """Read two accounts and shift money within one: two of these at a time are a write skew."""
    one, other = (account(number) for number in rng.sample(range(ACCOUNT_COUNT), 2))
    row = yield from session.get(_BANK, one)
    yield from session.get(_BANK, other, ("stamp",))
    assert row is not None, "accounts are never closed"
    yield from session.update(_BANK, one, {"balance": row["balance"]})


def tidy(session: Session, rng: random.Random) -> Steps[None]:
    """Count a shelf; take something from it, or put something there: two of these at a time meet as phantoms."""
    shelf = rng.choice(SHELVES)
    rows = yield from session.scan(_shelf(rng, shelf))
    free = [number for number in range(PLACES) if number not in [row["number"] for row in rows]]
    if rows and (not free or rng.random() < 0.4):
        row = rng.choice(rows)
        number = row["number"]
        assert isinstance(number, int)
        yield from session.delete(_SHOP, place(shelf, number))
    elif free:
        yield from session.insert(_SHOP, place(shelf, rng.choice(free)), _item(rng))


def recolour(session: Session, rng: random.Random) -> Steps[None]:
    """Look for items of a colour and give one another: a move from one place of the index to another."""
    rows = yield from session.scan(ScanByIndex(table=_SHOP, column="colour", value=rng.choice(COLOURS)))
    if rows:
        row = rng.choice(rows)
        shelf, number = row["shelf"], row["number"]
        assert isinstance(shelf, str)
        assert isinstance(number, int)
        yield from session.update(_SHOP, place(shelf, number), {"colour": rng.choice(COLOURS)})


def jumble(session: Session, rng: random.Random) -> Steps[None]:
    """A few operations of any kind, on records of both tables."""
    for _ in range(rng.randint(1, 5)):
        yield from rng.choice(_OPERATIONS)(session, rng)


def look(session: Session, rng: random.Random) -> Steps[None]:
    """A few reads of any kind."""
    for _ in range(rng.randint(1, 4)):
        yield from rng.choice(_READS)(session, rng)


PROGRAMS: dict[str, Program] = {
    "transfer": transfer,
    "audit": audit,
    "skew": skew,
    "tidy": tidy,
    "recolour": recolour,
    "jumble": jumble,
    "look": look,
}
"""Every program, by name."""


# --- Single operations ---


def _item(rng: random.Random) -> dict[str, str | int | None]:
    return {"colour": rng.choice((*COLOURS, None)), "weight": rng.randint(1, 9)}


def _any_place(rng: random.Random) -> Key:
    return place(rng.choice(SHELVES), rng.randrange(PLACES))


def _shelf(rng: random.Random, shelf: str) -> Scan:
    return Scan(table=_SHOP, partition=(shelf,), reverse=rng.random() < 0.3)


def _get(session: Session, rng: random.Random) -> Steps[None]:
    yield from session.get(_SHOP, _any_place(rng), rng.choice(((), ("stamp", "colour"))))


def _get_several(session: Session, rng: random.Random) -> Steps[None]:
    yield from session.get_many(_SHOP, list({_any_place(rng) for _ in range(3)}))


def _scan(session: Session, rng: random.Random) -> Steps[None]:
    yield from session.scan(_any_scan(rng))


def _any_scan(rng: random.Random) -> AnyScan:
    where = Comparison("weight", Operator.GT, rng.randint(1, 7)) if rng.random() < 0.3 else None
    limit = rng.choice((None, None, 1, 2))
    kind = rng.randrange(4)
    if kind == 0:
        return ScanAll(table=_SHOP, where=where, limit=limit)
    if kind == 1:
        return ScanByIndex(table=_SHOP, column="colour", value=rng.choice(COLOURS), where=where, limit=limit)
    low = rng.randrange(PLACES)
    bounds = (Bound(low, rng.random() < 0.5), Bound(rng.randrange(low, PLACES), rng.random() < 0.5))
    return Scan(
        table=_SHOP,
        partition=(rng.choice(SHELVES),),
        lower=rng.choice((None, bounds[0])),
        upper=rng.choice((None, bounds[1])),
        reverse=rng.random() < 0.3,
        where=where,
        limit=limit,
    )


def _insert(session: Session, rng: random.Random) -> Steps[None]:
    yield from session.insert(_SHOP, _any_place(rng), _item(rng))


def _upsert(session: Session, rng: random.Random) -> Steps[None]:
    yield from session.upsert(_SHOP, _any_place(rng), _item(rng))


def _update(session: Session, rng: random.Random) -> Steps[None]:
    values = _item(rng)
    column = rng.choice(("colour", "weight"))
    yield from session.update(_SHOP, _any_place(rng), {column: values[column]})


def _delete(session: Session, rng: random.Random) -> Steps[None]:
    yield from session.delete(_SHOP, _any_place(rng))


_READS: tuple[Program, ...] = (_get, _get_several, _scan, _scan)
_OPERATIONS: tuple[Program, ...] = (*_READS, _insert, _upsert, _update, _delete, skew)
