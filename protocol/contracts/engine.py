"""The only door to the Starlark engine.

What the engine promises, and what is made sure of here (measured with the pinned wheel):

1. *Steps.* The engine asks `check_cancelled` once per 1,000 loop steps and function calls, alike on every
   run. Native operations are not counted: what they may take is bounded by whoever runs the process.
2. *Recursion* ends at 50 frames or a few more, alike everywhere. No `load`, no top-level statements, no types, no
   f-strings.
3. *Floats* cannot come about: the source scan refuses their literals and `/`, and `float` is taken away
   here. (At the border the engine would turn an infinity into None.)
4. *Errors.* Every error of a contract is one `ContractError`; the engine's texts carry Python's own and
   go no further.
5. *Exhaustion.* Python's MemoryError inside a conversion comes back as an error's text, and a panic as an
   exception of its own, when a contract runs and when it is compiled. Both are `ExhaustedError`: nothing
   that happened since counts.
6. *Values* that come out are whatever the contract made. Whoever takes them checks that canonical JSON
   can hold them.
7. *The border.* What crosses it is converted string by string, which takes ten times as long as what the
   engine does itself with JSON. So values cross as one text of JSON each, made and read on the engine's side
   by `text_of` and `json.decode`, in a module that contracts do not see.

The engine converts strings through `json.loads` and `json.dumps`. A process that does nothing else may give
it quicker ones with `quicken_conversions`.
"""

import json
import re
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Final

import orjson
import starlark

from protocol.json_text import NO_MEMORY, read_json

CALL_STACK_MAX = 50
"""Frames of functions inside one another, of one contract."""

_OWN_FRAMES = 5
"""Frames beside the contract's: two below it, and above it a call that is written in Starlark with what it calls."""

STEPS_PER_CHECK = 1_000
"""Loop steps between two questions of the engine whether to go on."""

ENGINE = "starlark-pyo3"

_BORDER = """
HOLDERS = ("list", "dict", "tuple")

def is_flat(value):
    if type(value) != "dict":
        return type(value) not in HOLDERS
    for key, item in value.items():
        if type(key) != "string" or type(item) in HOLDERS:
            return False
    return True

def may_be_deep(value):
    shown = str(value)
    return shown.count("[") + shown.count("{") + shown.count("(") > 32

def text_of(value):
    if is_flat(value):
        return json.encode(value)
    if may_be_deep(value):
        return [value]
    text = json.encode(value)
    return text if json.decode(text) == value else [value]

def run_with(execute, text):
    return text_of(execute(json.decode(text)))
"""
"""`json.encode` takes some 100 KB of stack for each level, makes texts of numbers that are keys, and lists of tuples.
What might be deep, and what does not come back as it was, crosses as the engine converts it, in a list."""

_ENTRY = """
load("calls", {run} = "run_with")

def {entry}(text):
    return {run}(execute, text)
"""

_public_names = re.compile(r"^def ([a-z]\w*)", re.MULTILINE).findall

EXHAUSTION: Final = (MemoryError, RecursionError, SystemError)
"""What Python raises where memory or stack ends; the last where there is none even for an error of another name."""

_SAID_OF_EXHAUSTION: Final = (*[kind.__name__ for kind in EXHAUSTION], *NO_MEMORY)


class ContractError(Exception):
    """The contract went wrong: an error in its code, or one of its calls raised."""


class ExhaustedError(Exception):
    """The process ran out of memory or stack, or the engine gave up: nothing that happened since counts."""


class Program:
    """A compiled contract."""

    __slots__ = ("_entry", "_module")

    def __init__(self, module: starlark.FrozenModule, entry: str) -> None:
        self._module = module
        self._entry = entry

    def run(self, options: starlark.EvalOptions, argument: str) -> object:
        """Call `execute` with the value of a text.

        Args:
            options: of the engine that compiled it.
            argument: JSON.

        Returns:
            What crossed the border, for `value_of`.

        Raises:
            ContractError: its code, or a call it made, raised an error.
            ExhaustedError: out of memory or stack.
        """
        try:
            return self._module.call_with(options, self._entry, argument).value
        except BaseException as error:
            raise _judged(error) from None


class Engine:
    """Compiles contracts that share one set of calls, and bounds the steps of each run.

    Attributes:
        options: for the runs of its programs.
        names: of what contracts may call.
    """

    def __init__(
        self, calls: Mapping[str, Callable[..., object]], is_cancelled: Callable[[], bool], wrappers: str = ""
    ) -> None:
        """Make an engine.

        Args:
            calls: what contracts may call; their errors end the contract with `ContractError`. If a name
                begins with an underscore, only `wrappers` may call it.
            is_cancelled: asked once per `STEPS_PER_CHECK` steps; True ends the contract with `ContractError`.
            wrappers: functions in Starlark over these, which contracts may call as well. They have `json`, and
                `text_of(value)` for what `value_of` reads.
        """
        self.options = starlark.EvalOptions(
            check_cancelled=is_cancelled, max_callstack_size=CALL_STACK_MAX + _OWN_FRAMES
        )
        self._globals = starlark.Globals.standard()
        self._dialect = _dialect(loads=False)
        self._dialect_of_ours = _dialect(loads=True)
        self._loader = _loader(self.options, {**calls, "float": _no_float}, wrappers)
        self.names = tuple(name for name in (*calls, *_public_names(wrappers)) if name[0] != "_")
        self._load = f"load('calls', 'float', {', '.join(map(repr, self.names))})\n"

    def compile(self, source: str) -> Program:
        """Compile a source that the scan has passed.

        Raises:
            ContractError: it does not parse, or its top level fails.
            ExhaustedError: out of memory or stack.
        """
        entry, run = (_free_name(name, source) for name in ("entry", "run_with"))
        try:
            module = starlark.Module()
            self._add(module, self._load, self._dialect_of_ours)
            self._add(module, source, self._dialect)
            self._add(module, _ENTRY.format(entry=entry, run=run), self._dialect_of_ours)
            return Program(module.freeze(), entry)
        except BaseException as error:  # the engine folds constants: it may find no memory here, too
            raise _judged(error) from None

    def close(self) -> None:
        """Let go of the calls. The engine holds them where Python's garbage collector does not look, and they may well
        hold this engine: without it neither ends before the process does.
        """
        self._loader = starlark.FileLoader(_no_module)
        self.options = starlark.EvalOptions()

    def _add(self, module: starlark.Module, source: str, dialect: starlark.Dialect) -> None:
        tree = starlark.parse("contract", source, dialect)
        starlark.eval_with(self.options, module, tree, self._globals, self._loader)


def value_of(crossed: object) -> object:
    """The value of which `text_of` was handed over.

    Raises:
        ValueError: an integer beyond all bounds.
    """
    if isinstance(crossed, list):
        return crossed[0]
    assert isinstance(crossed, str), "text_of makes nothing else"
    return read_json(crossed)


def _no_module(_: str) -> starlark.FrozenModule:
    raise KeyError("the engine is closed")


def _loader(
    options: starlark.EvalOptions, calls: Mapping[str, Callable[..., object]], wrappers: str
) -> starlark.FileLoader:
    """What gives contracts the one module that they may load from."""
    module = starlark.Module()
    for name, call in calls.items():
        module.add_callable(name, call)
    tree = starlark.parse("calls", _BORDER + wrappers, _dialect(loads=False))
    starlark.eval_with(options, module, tree, starlark.Globals.extended_by([starlark.LibraryExtension.Json]))
    frozen = module.freeze()
    return starlark.FileLoader(lambda _: frozen)


def _dialect(*, loads: bool) -> starlark.Dialect:
    dialect = starlark.Dialect.standard()
    dialect.enable_load = loads
    dialect.enable_top_level_stmt = False
    dialect.enable_types = starlark.DialectTypes.DISABLE
    dialect.enable_f_strings = False
    return dialect


def _free_name(name: str, source: str) -> str:
    """A name that the source does not have."""
    while name in source:
        name += "_"
    return name


def engine_version() -> str:
    """Name and version of the engine's wheel."""
    return f"{ENGINE} {version(ENGINE)}"


def quicken_conversions() -> None:
    """Replace the functions of `json` that the engine calls, for this whole process.

    What they disagree about, great integers and floats, canonical JSON cannot hold anyway. Their errors are judged
    by their texts, as all of the engine's are.
    """
    vars(json).update(loads=orjson.loads, dumps=_dumps)


def _dumps(value: object) -> str:
    return orjson.dumps(value).decode()


def _no_float(*_: object) -> None:
    raise TypeError("there are no floats")


def _judged(error: BaseException) -> BaseException:
    """What an error of the engine means, without its text; what is none of its errors stays as it is."""
    if not isinstance(error, Exception):
        # A panic is a BaseException that cannot be imported.
        return ExhaustedError("panic") if type(error).__name__ == "PanicException" else error
    text = repr(error)
    if any(said in text for said in _SAID_OF_EXHAUSTION):
        return ExhaustedError("memory")
    return ContractError()
