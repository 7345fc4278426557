"""The only door to the Starlark engine.

What the engine promises, and what is made sure of here (measured with the pinned wheel):

1. *Steps.* The engine asks `check_cancelled` once per 1,000 loop steps and function calls, alike on every
   run. Native operations are not counted: what they may take is bounded by whoever runs the process.
2. *Recursion* ends at 50 frames, alike everywhere. No `load`, no top-level statements, no types, no
   f-strings.
3. *Floats* cannot come about: the source scan refuses their literals and `/`, and `float` is taken away
   here. (At the border the engine would turn an infinity into None.)
4. *Errors.* Every error of a contract is one `ContractError`; the engine's texts carry Python's own and
   go no further.
5. *Exhaustion.* Python's MemoryError inside a conversion comes back as an error's text, and a panic as an
   exception of its own. Both are `ExhaustedError`: nothing that happened since counts.
6. *Values* that come out are whatever the contract made. Whoever takes them checks that canonical JSON
   can hold them.

The engine converts strings and numbers one by one through `json.loads` and `json.dumps`, which is half of
what a short contract costs. A process that does nothing else may give it quicker ones with
`quicken_conversions`.
"""

import json
from collections.abc import Callable, Mapping
from importlib.metadata import version

import orjson
import starlark

CALL_STACK_MAX = 50
"""Frames of functions inside one another, of one contract."""

STEPS_PER_CHECK = 1_000
"""Loop steps between two questions of the engine whether to go on."""

ENGINE = "starlark-pyo3"


class ContractError(Exception):
    """The contract went wrong: an error in its code, or one of its calls raised."""


class ExhaustedError(Exception):
    """The process ran out of memory or stack, or the engine gave up: nothing that happened since counts."""


class Program:
    """A compiled contract."""

    __slots__ = ("_module",)

    def __init__(self, module: starlark.FrozenModule) -> None:
        self._module = module

    def run(self, options: starlark.EvalOptions, argument: object) -> object:
        """Call `execute(argument)`.

        Args:
            options: of the engine that compiled it.
            argument: a value of canonical JSON.

        Raises:
            ContractError: its code, or a call it made, raised an error.
            ExhaustedError: out of memory or stack.
        """
        try:
            return self._module.call_with(options, "execute", argument).value
        except Exception as error:  # also what the conversion of the result raises
            raise _judged(error) from None
        except BaseException as error:
            if type(error).__name__ == "PanicException":  # a BaseException that cannot be imported
                raise ExhaustedError("panic") from None
            raise


class Engine:
    """Compiles contracts that share one set of calls, and bounds the steps of each run."""

    def __init__(self, calls: Mapping[str, Callable[..., object]], is_cancelled: Callable[[], bool]) -> None:
        """Make an engine.

        Args:
            calls: what contracts may call; their errors end the contract with `ContractError`.
            is_cancelled: asked once per `STEPS_PER_CHECK` steps; True ends the contract with `ContractError`.
        """
        self._calls = calls
        self._globals = starlark.Globals.standard()
        self._dialect = starlark.Dialect.standard()
        self._dialect.enable_load = False
        self._dialect.enable_top_level_stmt = False
        self._dialect.enable_types = starlark.DialectTypes.DISABLE
        self._dialect.enable_f_strings = False
        self.options = starlark.EvalOptions(check_cancelled=is_cancelled, max_callstack_size=CALL_STACK_MAX)

    def compile(self, source: str) -> Program:
        """Compile a source that the scan has passed.

        Raises:
            ContractError: it does not parse, or its top level fails.
            ExhaustedError: out of memory or stack.
        """
        try:
            tree = starlark.parse("contract", source, self._dialect)
            module = starlark.Module()
            for name, call in self._calls.items():
                module.add_callable(name, call)
            module.add_callable("float", _no_float)
            starlark.eval_with(self.options, module, tree, self._globals)
            return Program(module.freeze())
        except starlark.StarlarkError as error:
            raise _judged(error) from None


def engine_version() -> str:
    """Name and version of the engine's wheel."""
    return f"{ENGINE} {version(ENGINE)}"


def quicken_conversions() -> None:
    """Replace the functions of `json` that the engine calls, for this whole process.

    What they disagree about, great integers and floats, canonical JSON cannot hold anyway.
    """
    vars(json).update(loads=orjson.loads, dumps=_dumps)


def _dumps(value: object) -> str:
    return orjson.dumps(value).decode()


def _no_float(*_: object) -> None:
    raise TypeError("there are no floats")


def _judged(error: Exception) -> ContractError | ExhaustedError:
    """What an error of the engine means, without its text."""
    text = repr(error)
    if "MemoryError" in text or "RecursionError" in text:
        return ExhaustedError("memory")
    return ContractError()
