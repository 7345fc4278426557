"""A line of the table of attacks."""

from typing import NamedTuple


class Attack(NamedTuple):
    """One line of the table.

    Attributes:
        what: who does what.
        end: how it ends.
        tests: which show it.
    """

    what: str
    end: str
    tests: tuple[str, ...]


def of(file: str, *names: str) -> tuple[str, ...]:
    """Tests of a file, below `tests/`."""
    return tuple(f"{file}::test_{name}" for name in names)
