"""The table of codes: complete, readable, and the only source of codes in the packages."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import ERRORS, CountersignError, Explained

ROOT = Path(__file__).parents[3]
PACKAGES = (
    "schemas", "protocol", "storage", "auditor", "ledger", "learners", "streams", "deploy", "countersign",
)  # fmt: skip
CODE = re.compile(r"[a-z]+\.[a-z_]+|busy")


@pytest.mark.parametrize("row", ERRORS.values(), ids=ERRORS.keys())
def test_every_row_explains_its_code(row: Explained) -> None:
    """A user finds a message, a cause and a remedy, each a sentence or two."""
    assert CODE.fullmatch(row.code)
    for text in (row.message, row.cause, row.remedy):
        assert text[0].isupper() or text.startswith(("`", "ordered_at", "request_id"))
        assert text.endswith(".")
        assert len(text) < 130
    assert len({row.message, row.cause, row.remedy}) == 3


def test_the_codes_that_requests_rely_on() -> None:
    """Codes of rejections and outcomes stand in signed messages: they are here, final or not as they were."""
    final = {
        "request.malformed", "request.wrong_ledger", "request.expired", "request.forgotten",
        "request.bad_signature", "request.replayed", "request.too_large", "argument.not_canonical", "entity.unknown",
        "entity.key_revoked", "contract.unknown", "contract.resources",
    }  # fmt: skip
    retry = {"request.not_yet_valid", "request.too_far_ahead", "request.after_unknown", "busy"}
    outcomes = {
        "contract.failed", "contract.value", "contract.records", "contract.output_too_large",
        "contract.source_refused", "namespace.unknown", "namespace.foreign", "right.missing",
    }  # fmt: skip
    rejections = {code: row.retry for code, row in ERRORS.items() if row.family == "rejection"}
    assert rejections == dict.fromkeys(final, "final") | dict.fromkeys(retry, "retry")
    assert outcomes <= {code for code, row in ERRORS.items() if row.family == "outcome"}


def test_an_outcome_is_final_and_its_senders() -> None:
    """A failed execution was decided: sending the same request again gives the same outcome."""
    for row in ERRORS.values():
        if row.family == "outcome":
            assert (row.fault, row.retry) == ("sender", "final"), row.code


def test_an_error_shows_its_code_message_and_detail() -> None:
    """What a user sees first is the stable code."""
    error = CountersignError("busy", "5000000 entries")
    assert str(error) == "busy: The Auditor takes no more requests at the moment. (5000000 entries)"
    assert str(CountersignError("busy")) == "busy: The Auditor takes no more requests at the moment."
    assert error.explained is ERRORS["busy"]


def _codes_in(path: Path) -> Iterator[tuple[str, int]]:
    """Every code that is an error's or a rejection's first argument, or given as `code=`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = node.args[:1] if name.endswith(("Error", "Rejected")) or name == "__init__" else []
        named = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        for value in (*first, *named):
            text = value.value if isinstance(value, ast.Constant) else None
            if isinstance(text, str) and CODE.fullmatch(text):
                yield text, node.lineno


def test_the_packages_use_no_other_codes() -> None:
    """Every code that the packages raise, reject or halt with stands in the table."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    used = [(path.relative_to(ROOT), line, code) for path in paths for code, line in _codes_in(path)]
    assert len(used) > 20, "the search finds nothing"
    unknown = [f"{path}:{line}: {code}" for path, line, code in used if code not in ERRORS]
    assert not unknown, "\n".join(unknown)


def test_every_code_is_reported_by_somebody() -> None:
    """Nobody looks for what no role, verifier or command can say."""
    tables = {*(ROOT / "protocol").glob("*codes.py")}
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path not in tables]
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text())))
    said = {node.value for node in nodes if isinstance(node, ast.Constant)}
    assert ERRORS.keys() <= said, ERRORS.keys() - said
