"""Predicates as the model evaluates them: what every store's answer is compared with."""

import pytest

from storage.model.errors import InvalidOperationError
from storage.model.predicates import AllOf, AnyOf, Comparison, Operator, Predicate, check_predicate, columns_of, holds
from tests.table_samples import accounts

LOW, HIGH = Comparison("balance", Operator.LT, 10), Comparison("balance", Operator.GE, 90)


@pytest.mark.parametrize("operator", [o for o in Operator if o is not Operator.IS_NULL])
def test_null_satisfies_only_is_null(operator: Operator) -> None:
    """Not even a comparison with what it is not."""
    value = None if operator is Operator.IS_NOT_NULL else "a"
    assert not holds(Comparison("owner", operator, value), {"owner": None})
    assert holds(Comparison("owner", Operator.IS_NULL), {"owner": None})


@pytest.mark.parametrize(
    ("balance", "either", "both"), [(5, True, False), (50, False, False), (90, True, False), (None, False, False)]
)
def test_and_and_or(balance: int | None, either: bool, both: bool) -> None:
    """Over comparisons, nested; empty ones are true and false."""
    row = {"balance": balance}
    assert holds(AnyOf((LOW, HIGH)), row) is either
    assert holds(AllOf((AnyOf((LOW, HIGH)), AnyOf((LOW,)), HIGH)), row) is both
    assert holds(AllOf(()), row)
    assert not holds(AnyOf(()), row)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a%c", "abbc", True),
        ("a%c", "abbcd", False),
        ("_", "é", True),
        ("_", "", False),
        ("100\\%", "100%", True),
        ("100\\%", "1000", False),
        (".*", "abc", False),
        ("%", "a\nb", True),
        ("A", "a", False),
    ],
)
def test_patterns(pattern: str, text: str, matches: bool) -> None:
    """A percent sign, an underscore and a backslash mean something, nothing else does."""
    assert holds(Comparison("owner", Operator.LIKE, pattern), {"owner": text}) is matches
    assert holds(Comparison("owner", Operator.NOT_LIKE, pattern), {"owner": text}) is not matches


def nested(depth: int) -> Predicate:
    predicate: Predicate = LOW
    for _ in range(depth):
        predicate = AllOf((predicate,))
    return predicate


def test_predicates_are_bounded() -> None:
    """In comparisons and in nesting."""
    assert check_predicate(accounts(), nested(8)) == nested(8)
    assert check_predicate(accounts(), AnyOf((LOW,) * 64)) == AnyOf((LOW,) * 64)
    for large in (nested(9), nested(5_000), AnyOf((AnyOf((LOW,) * 33), AnyOf((HIGH,) * 33)))):
        with pytest.raises(InvalidOperationError) as refused:
            check_predicate(accounts(), large)
        assert refused.value.code == "predicate.too_large"


def test_the_columns_compared() -> None:
    """Each once."""
    assert columns_of(AnyOf((LOW, AllOf((HIGH, Comparison("owner", Operator.IS_NULL)))))) == {"balance", "owner"}
