"""What a contract's source must look like before it is parsed at all.

The engine's parser and compiler recurse as deep as the source is nested, and its float arithmetic has no
place in a ledger of integers. So a source is read token by token, by rules that are stricter than the
engine's lexer wherever the two could differ:

1. UTF-8 of at most `contract_source_bytes`; outside of strings and comments only printable ASCII and
   newlines.
2. No floats: no literal with a point or an exponent, no `/` and `/=`. (`float` itself is taken away by
   the engine.)
3. At most `contract_brackets` brackets open at once; on one logical line (which ends at the first newline
   outside of brackets) at most `contract_line_tokens` tokens, and no run of more than 16 unary operators.
4. At most 64 `elif` in a source, for each nests in the one before, and at most 80 columns of indentation.
5. The top level holds definitions and constants only: nothing there calls or computes, so that loading a
   contract runs none of it. The defaults of parameters are held to the same.
6. One definition is `def execute(NAME):`.
7. No raw string with a backslash before a quotation mark, no string with a prefix other than `r`, no
   backslash outside of strings, no carriage return, no tab.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from protocol.errors import CountersignError
from protocol.limits import Limits

UNARY_RUN_MAX = 16
ELIF_MAX = 64
INDENTATION_MAX = 80
INTEGER_CHARACTERS_MAX = 20

_TOKEN = re.compile(
    r"""
    (?P<newline>\n)
  | (?P<space>[ ]+)
  | (?P<comment>\#[^\n]*)
  | (?P<string>r?(?:\"\"\"(?:[^\\"]|\\[\s\S]|\"{1,2}(?!\"))*\"\"\" | '''(?:[^\\']|\\[\s\S]|'{1,2}(?!'))*'''
              | "(?!"")(?:[^\\"\n]|\\[^\n])*" | '(?!'')(?:[^\\'\n]|\\[^\n])*'))
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<number>0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|[0-9]+)
  | (?P<operator>\*\*|//=?|<<=?|>>=?|[-+*%&|^<>=!]=|[-+*%&|^~<>=.,:;()\[\]{}])
    """,
    re.VERBOSE,
)
_RAW_QUOTE = re.compile(r"\\['\"]")
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f]")

_OPEN = frozenset("([{")
_CLOSE = {")": "(", "]": "[", "}": "{"}
_UNARY = frozenset(("-", "+", "~", "not"))
_CONSTANT_PUNCTUATION = frozenset("=,:;()[]{}-*") | {"**"}
_COMPUTING_WORDS = frozenset(("for", "if", "else", "and", "or", "not", "in", "lambda"))


class SourceRefusedError(CountersignError):
    """A source that is not accepted; the detail says why and where."""

    def __init__(self, detail: str) -> None:
        super().__init__("contract.source_refused", detail)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def scan_source(source: str, limits: Limits) -> None:
    """Check a source by the rules above. What passes may still not parse.

    Raises:
        SourceRefusedError: it breaks one of them.
    """
    if len(source.encode()) > limits.contract_source_bytes:
        raise SourceRefusedError(f"longer than {limits.contract_source_bytes} bytes")
    control = _CONTROL.search(source)
    if control is not None:
        raise SourceRefusedError(f"a control character at {control.start()}")
    has_execute = False
    elifs = 0
    for indentation, line in _logical_lines(source, limits):
        if indentation > INDENTATION_MAX:
            raise SourceRefusedError(f"line {line[0].line}: indented by more than {INDENTATION_MAX}")
        elifs += sum(token.text == "elif" for token in line)
        _check_unary_runs(line)
        if indentation == 0:
            _check_top_level(line)
            has_execute = has_execute or _defines_execute(line)
    if elifs > ELIF_MAX:
        raise SourceRefusedError(f"more than {ELIF_MAX} elif")
    if not has_execute:
        raise SourceRefusedError("no `def execute(argument):`")


def _tokens(source: str) -> Iterator[_Token]:
    """Every token but comments, indentation as the space that follows a newline."""
    position = 0
    line = 1
    before = ""
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            raise SourceRefusedError(f"line {line}: unexpected {source[position]!r}")
        kind, text = match.lastgroup or "", match.group()
        if before == "number" and kind in ("name", "number", "string"):
            raise SourceRefusedError(f"line {line}: unexpected {text[:20]!r} after a number")
        if (before == "number" and text == ".") or (before == "." and kind == "number"):
            raise SourceRefusedError(f"line {line}: a float")
        if kind == "number" and len(text) > INTEGER_CHARACTERS_MAX:
            raise SourceRefusedError(f"line {line}: a number of {len(text)} digits")
        if kind == "string" and text[0] == "r" and _RAW_QUOTE.search(text):
            raise SourceRefusedError(f"line {line}: a backslash before a quotation mark in a raw string")
        yield _Token(kind, text, line)
        before = "." if text == "." else kind
        line += text.count("\n")
        position = match.end()
        if kind == "name" and source[position : position + 1] in ('"', "'"):
            raise SourceRefusedError(f"line {line}: a string with the prefix {text[:20]!r}")


def _logical_lines(source: str, limits: Limits) -> Iterator[tuple[int, list[_Token]]]:
    """Indentation and tokens of each logical line that has any; bounds what a line holds."""
    brackets: list[str] = []
    line: list[_Token] = []
    indentation = 0
    at_start = True
    for token in _tokens(source):
        if token.kind == "newline" and not brackets:
            if line:
                yield indentation, line
            line, indentation, at_start = [], 0, True
        elif token.kind == "space" and at_start:
            indentation = len(token.text)
        if token.kind in ("newline", "space", "comment"):
            continue
        at_start = False
        line.append(token)
        if len(line) > limits.contract_line_tokens:
            raise SourceRefusedError(f"line {token.line}: more than {limits.contract_line_tokens} tokens")
        if token.text in _OPEN:
            brackets.append(token.text)
            if len(brackets) > limits.contract_brackets:
                raise SourceRefusedError(
                    f"line {token.line}: more than {limits.contract_brackets} brackets open"
                )
        elif token.text in _CLOSE and (not brackets or brackets.pop() != _CLOSE[token.text]):
            raise SourceRefusedError(f"line {token.line}: {token.text} closes nothing")
    if brackets:
        raise SourceRefusedError(f"{brackets[-1]} is never closed")
    if line:
        yield indentation, line


def _check_unary_runs(line: list[_Token]) -> None:
    run = 0
    for token in line:
        run = run + 1 if token.text in _UNARY else 0
        if run > UNARY_RUN_MAX:
            raise SourceRefusedError(f"line {token.line}: more than {UNARY_RUN_MAX} operators in a row")


def _check_top_level(line: list[_Token]) -> None:
    """Require a definition, an assignment of a constant, or a string that documents."""
    is_definition = line[0].text == "def"
    depth = 0
    previous = _Token("", "", 0)
    for position, token in enumerate(line):
        text = token.text
        if is_definition and text == ":" and depth == 0:
            return  # the body is not run before it is called
        depth += (text in _OPEN) - (text in _CLOSE)
        is_header = is_definition and position == 2
        computes = (
            (token.kind == "operator" and text not in _CONSTANT_PUNCTUATION)
            or text in _COMPUTING_WORDS
            or (
                text == "("
                and not is_header
                and (previous.kind in ("name", "string") or previous.text in _CLOSE)
            )
            or (text in ("*", "**") and previous.text not in ("(", ","))
            or (previous.text == "-" and token.kind != "number")
        )
        if computes:
            raise SourceRefusedError(
                f"line {token.line}: {text} at the top level, which only defines and names constants"
            )
        previous = token


def _defines_execute(line: list[_Token]) -> bool:
    texts = [token.text for token in line[:6]]
    return texts[:3] == ["def", "execute", "("] and line[3].kind == "name" and texts[4:] == [")", ":"]
