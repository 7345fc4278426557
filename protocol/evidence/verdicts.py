"""What a verifier of evidence may say (PROTOCOL 4).

The worst failure of such a system is to accuse an honest party. So whatever is missing, superfluous,
unreadable or badly signed proves nothing, and whatever this machine cannot repeat it does not judge.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

from protocol.errors import CountersignError

Role = Literal["auditor", "ledger", "replica"]


class Finding(StrEnum):
    """The kinds of verdict."""

    GUILTY = "GUILTY"
    KEY = "KEY"  # a key was used that is no longer its role's: whoever has it now
    FALSE_ACCUSER = "FALSE ACCUSER"
    CANNOT_JUDGE = "CANNOT JUDGE"
    NOTHING = "NOTHING"


class Culprit(NamedTuple):
    """A party, or the replica of this index; a replica without one stands for more of them than may lie."""

    role: Role
    replica: int | None = None

    def __str__(self) -> str:
        if self.role == "replica":
            return "replicas" if self.replica is None else f"replica {self.replica}"
        return self.role


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a piece of evidence proves.

    Attributes:
        culprit: who is named by GUILTY and FALSE ACCUSER, and whose key by KEY; else None.
        status: of the key, with KEY: "retired".
        explanation: for people, never part of anything signed.
    """

    finding: Finding
    culprit: Culprit | None = None
    status: str = ""
    explanation: str = ""

    @property
    def convicts(self) -> bool:
        """Whether somebody is found to have misbehaved."""
        return self.finding in (Finding.GUILTY, Finding.FALSE_ACCUSER)

    def __str__(self) -> str:
        named = self.status if self.finding is Finding.KEY else str(self.culprit or "")
        head = f"{self.finding}({named})" if named else str(self.finding)
        return f"{head}: {self.explanation}" if self.explanation else head


class NothingProvenError(CountersignError):
    """The evidence proves nothing."""

    def __init__(self, detail: str, code: str = "evidence.nothing") -> None:
        super().__init__(code, detail)


class CannotJudgeError(CountersignError):
    """The evidence may be right, but this verifier cannot tell."""

    def __init__(self, detail: str) -> None:
        super().__init__("evidence.cannot_judge", detail)


class Proven(NamedTuple):
    """What a judge of one kind finds: who did what."""

    culprit: Culprit
    explanation: str
    finding: Finding = Finding.GUILTY


AUDITOR = Culprit("auditor")
LEDGER = Culprit("ledger")
REPLICAS = Culprit("replica")
