"""The scan lets decent sources pass, and refuses whatever could reach the engine's weak spots."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from protocol.contracts.genesis import GENERIC_CONTRACTS, generic_source
from protocol.contracts.source_scan import SourceRefusedError, scan_source
from protocol.limits import Limits

END = "\ndef execute(argument):\n  return 1\n"

ACCEPTED = {
    "only execute": END,
    "constants": "A = 1\nB = -5\nC = [1, 'x', (2,), {'k': A}]\nD, E = 1, 0x1F\n" + END,
    "documentation": '"""What it does,\nand how."""\n' + END,
    "functions": "def f(a, b = (1, 'x'), *rest, **named):\n  return [i * 2 for i in rest if i > 0]\n" + END,
    "strings": "A = 'it''s' \"a\\\"b\" '''a'b''c''' \"\"\"\\\"\"\"\" r'\\d' '\\n é 😀'\n" + END,
    "brackets over lines": "def execute(a):\n  return [\n    1,\n    2,  # two\n  ]\n",
    "number before a word": "def execute(a):\n  return 1 if a else 0\n",
    "comparisons": "def execute(a):\n  return a != 1 and a <= 2 and not a >= 3 and a // 2 == 1\n",
    "body on one line": "def execute(a): return 'a' * 3; x = 1 + 2\n",
}

REFUSED = {
    "no execute": ("def run(a):\n  return 1\n", "no `def execute"),
    "execute of two": ("def execute(a, b):\n  return 1\n", "no `def execute"),
    "execute of any": ("def execute(*a):\n  return 1\n", "no `def execute"),
    "execute inside": ("def f():\n  def execute(a):\n    return 1\n", "no `def execute"),
    "execute in a string": ("'''\ndef execute(a):\n  return 1\n'''", "no `def execute"),
    "float": ("A = 1.5" + END, "a float"),
    "float without integer part": ("def execute(a):\n  return .5", "a float"),
    "exponent": ("A = 1e400" + END, "after a number"),
    "division": ("def execute(a):\n  return 1 / 2", "unexpected '/'"),
    "division in place": ("def execute(a):\n  a /= 2", "unexpected '/'"),
    "digits": (f"A = {'9' * 5000}" + END, "5000 digits"),
    "many unary operators": (f"def execute(a):\n  return {'-' * 1000}1", "tokens"),
    "unary operators": (f"def execute(a):\n  return {'-' * 17}1", "operators in a row"),
    "unary words": (f"def execute(a):\n  return {'not ' * 1000}a", "tokens"),
    "unary operators over lines": ("def execute(a):\n  return (" + "-\n" * 20 + "1)", "in a row"),
    "brackets": (f"def execute(a):\n  return {'[' * 2400}{']' * 2400}", "brackets open"),
    "tokens": (f"def execute(a):\n  return {'+'.join(['a'] * 500)}", "tokens"),
    "tokens over lines": ("def execute(a):\n  return (" + "a +\n" * 500 + "a)", "tokens"),
    "elif": ("def execute(a):\n  if a:\n    a\n" + "  elif a:\n    a\n" * 65, "elif"),
    "indentation": ("def execute(a):\n" + "".join(" " * i + "if a:\n" for i in range(1, 90)), "indented"),
    "length": ("#" * 65536 + END, "longer than"),
    "computed constant": ("A = 'a' * 1000000000" + END, "top level"),
    "computed default": ("def f(a = [0] * 1000000000):\n  return a" + END, "top level"),
    "computed default in braces": ("def f(a = {'k': [0] * 1000000000}):\n  return a" + END, "top level"),
    "negated constant": ("A = 1\nB = -A" + END, "top level"),
    "call at the top": ("A = list(range(1000000000))" + END, "top level"),
    "comprehension at the top": ("A = [i for i in 'abc']" + END, "top level"),
    "sum at the top": ("A = 'a' + 'b'" + END, "top level"),
    "method at the top": ("A = 'a'.upper" + END, "top level"),
    "load": ("load('x', 'y')" + END, "top level"),
    "formatted string": ("def execute(a):\n  return f'{a}'", "prefix 'f'"),
    "bytes": ("def execute(a):\n  return b'a'", "prefix 'b'"),
    "raw string and quote": ("def execute(a):\n  return r'\\''", "raw string"),
    "backslash at the end": ("def execute(a):\n  return 1 + \\\n  1", "unexpected"),
    "string over lines": ("def execute(a):\n  return 'a\n'", "unexpected"),
    "string continued": ("def execute(a):\n  return 'a\\\nb'", "unexpected"),
    "open string": ("def execute(a):\n  return '''a", "unexpected"),
    "open bracket": ("def execute(a):\n  return (1", "never closed"),
    "stray bracket": ("def execute(a):\n  return 1)", "closes nothing"),
    "crossed brackets": ("def execute(a):\n  return ([1)]", "closes nothing"),
    "tab": ("def execute(a):\n\treturn 1", "control character"),
    "carriage return": ("def execute(a):\r\n  return 1", "control character"),
    "NUL": ("# \0" + END, "control character"),
    "letters beyond ASCII": ("def execute(é):\n  return 1", "unexpected 'é'"),
    "matrix operator": ("def execute(a):\n  return a @ a", "unexpected '@'"),
}


@pytest.mark.parametrize("source", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepts_what_contracts_need(source: str) -> None:
    """Ordinary code passes."""
    scan_source(source, Limits())


@pytest.mark.parametrize("contract", GENERIC_CONTRACTS)
def test_accepts_the_generic_contracts(contract: str) -> None:
    """What ships with the system could be registered by anybody, under tiny limits too."""
    scan_source(generic_source(contract), Limits.tiny())


@pytest.mark.parametrize(("source", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses_what_could_hurt(source: str, why: str) -> None:
    """Each is refused with the stable code and a reason for its author."""
    with pytest.raises(SourceRefusedError) as refused:
        scan_source(source, Limits())
    assert refused.value.code == "contract.source_refused"
    assert why in refused.value.detail


def test_reports_the_line() -> None:
    """The author is told where."""
    with pytest.raises(SourceRefusedError, match="line 4"):
        scan_source("'''\n\n'''\nA = 1.5" + END, Limits())


def inside(*lines: str) -> str:
    """A contract with these lines as its body."""
    return "def execute(a):\n" + "".join(f"  {line}\n" for line in lines)


def filled(character: str, size: int) -> str:
    """A contract of so many bytes, most of them a comment of this character."""
    begin = inside("return 1") + "#"
    count, rest = divmod(size - len(begin), len(character.encode()))
    return begin + "a" * rest + character * count


SMALL = replace(Limits(), contract_source_bytes=2_000, contract_line_tokens=20, contract_brackets=5)
BOUNDS: dict[str, tuple[Callable[[int], str], int, str]] = {
    "bytes": (lambda size: filled("a", size), 2_000, "longer than"),
    "bytes of UTF-8": (lambda size: filled("é", size), 2_000, "longer than"),
    "tokens": (lambda count: inside("return [" + ("a," * count)[: count - 3] + "]"), 20, "tokens"),
    "brackets": (lambda count: inside("return " + "[" * count + "]" * count), 5, "brackets open"),
    "unary operators": (lambda count: inside("return " + "-" * count + "1"), 16, "in a row"),
    "unary words": (lambda count: inside("return " + "not " * count + "a"), 16, "in a row"),
    "elif": (lambda count: inside("if a:", "  a", *["elif a:", "  a"] * count), 64, "elif"),
    "indentation": (lambda columns: inside("if a:", " " * (columns - 2) + "a"), 80, "indented"),
    "digits": (lambda digits: inside("return " + "9" * digits), 20, "digits"),
}


@pytest.mark.parametrize(("source_of", "most", "why"), BOUNDS.values(), ids=BOUNDS)
def test_the_last_that_passes_and_the_first_that_does_not(
    source_of: Callable[[int], str], most: int, why: str
) -> None:
    """Each bound is the greatest number still allowed."""
    scan_source(source_of(most), SMALL)
    with pytest.raises(SourceRefusedError, match=why):
        scan_source(source_of(most + 1), SMALL)


@pytest.mark.parametrize("code", [*range(0x0A), *range(0x0B, 0x20), 0x7F])
def test_every_control_character(code: int) -> None:
    """But for the newline; in a comment and in a string as well."""
    for source in (f"# {chr(code)}\n" + END, f"A = '{chr(code)}'\n" + END):
        with pytest.raises(SourceRefusedError, match="control character"):
            scan_source(source, Limits())


@pytest.mark.parametrize("number", ["1.", "1.5", ".5", "1.e5", "0x1.8", "1. ", "[1.]", "(1.)", "a[1.:]", "1 .5"])
def test_a_point_beside_a_number_in_a_body(number: str) -> None:
    """Where points are allowed between names."""
    scan_source(inside("return a.b"), Limits())
    with pytest.raises(SourceRefusedError, match="a float"):
        scan_source(inside(f"return {number}"), Limits())


@pytest.mark.parametrize("line", ["A = 1.", "A = 1.5", "A = .5", "A = 1.e5", "A = 0x1.8", "A = 1 .x", "A = 5.\n"])
def test_a_point_beside_a_number(line: str) -> None:
    """On either side: nothing of the kind is an integer."""
    with pytest.raises(SourceRefusedError):
        scan_source(line + END, Limits())
