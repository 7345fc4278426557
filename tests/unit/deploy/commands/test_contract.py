"""`contract register`: why a source is refused is said here, for the ledger signs only that it is."""

from pathlib import Path

import pytest

from deploy.commands.contract import check_source
from protocol.errors import CountersignError
from protocol.limits import Limits

FILE = Path("greet.star")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def execute(argument):\n    return nothing_like_it\n", ("nothing_like_it", "greet.star:2:12")),
        ("def execute(argument):\n    if argument\n        return 1\n", ("Parse error", "greet.star:2:")),
        ("def greet(argument):\n    return 1\n", ("execute(argument)",)),
        ("def execute(argument):\n    return 1.5\n", ("line 2", "float")),
    ],
)
def test_a_refused_source_is_explained(source: str, words: tuple[str, ...]) -> None:
    """An undefined name, a syntax error, no entry point, a forbidden word; with the line where there is one."""
    with pytest.raises(CountersignError) as caught:
        check_source(source, Limits(), FILE)
    assert caught.value.code == "contract.source_refused"
    assert all(word in caught.value.detail for word in words), caught.value.detail


def test_all_that_contracts_may_call_is_known() -> None:
    """A good source passes."""
    source = """
def execute(argument):
    if scan("a", "", "", 1) or history("a", "b", 1) or invoke("x/1", origin()):
        fail(caller())
    put("a", "b", get("a", "c"))
    delete("a", str(ordered_at()))
"""
    check_source(source, Limits(), FILE)
