"""The one table of every code that a rejection, an outcome, a refusal, a halt or a user can meet.

Rules:

1. A code is stable: it stands in signed messages, so its meaning never changes and it is never used again.
2. Fault says whose: the *sender's* (what it sent is wrong), the *world's* (trying again may help), *ours*
   (a mistake or damage on our side: crash).
3. `retry` says that the same bytes may be accepted later; `final` that they never will be.
4. Misbehaviour of a party is no error but a value: evidence.

Families: a *rejection* is the Auditor's, before anything is ordered; an *outcome* is a failed execution,
which both sign; a *refusal* is the Ledger's, of an order; a *check* is a verifier's; a *halt* ends a
process; a *user* error ends a command.
"""

from typing import Literal, NamedTuple

from protocol.codes import CHECKS, OUTCOMES, REFUSALS, REJECTIONS, Fault, Retry, Row
from protocol.loading_codes import LOADING
from protocol.operating_codes import HALTS, USER
from protocol.table_codes import TABLES
from protocol.transaction_codes import TRANSACTIONS

Family = Literal["rejection", "outcome", "refusal", "check", "halt", "user"]


class Explained(NamedTuple):
    """What is known about a code."""

    code: str
    family: Family
    fault: Fault
    retry: Retry
    message: str
    cause: str
    remedy: str


class CountersignError(Exception):
    """Base of every error with a code of the table.

    Attributes:
        code: its code.
        detail: what happened this time; never a secret, never part of anything signed.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        text = f"{self.code}: {self.explained.message}" if self.code in ERRORS else self.code
        return f"{text} ({self.detail})" if self.detail else text

    @property
    def explained(self) -> Explained:
        """This code's row of the table."""
        return ERRORS[self.code]


def _table() -> dict[str, Explained]:
    families: tuple[tuple[Family, tuple[Row, ...]], ...] = (
        ("rejection", REJECTIONS),
        ("outcome", OUTCOMES),
        ("refusal", REFUSALS),
        ("check", CHECKS),
        ("halt", HALTS),
        ("user", USER),
        ("user", TABLES),
        ("user", TRANSACTIONS),
        ("user", LOADING),
    )
    table: dict[str, Explained] = {}
    for family, rows in families:
        for code, *rest in rows:
            assert code not in table, f"{code} stands twice in the table of codes"
            table[code] = Explained(code, family, *rest)  # type: ignore[arg-type]
    return table


ERRORS = _table()
"""Every code, explained."""
