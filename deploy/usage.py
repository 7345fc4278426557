"""Wrong usage: people are told on standard error, as by every command line; programs, with `--json`, by an object too.

It ends a command before the command has begun, so it is told here and not by `deploy.output.run`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import typer
from typer.core import TyperGroup

from deploy.output import Output
from protocol.errors import CountersignError

_WRONG_USAGE: Final[Any] = typer.BadParameter.mro()[1]
"""Every error of usage, an unknown command or option among them; the library has no public name for it."""


class Commands(TyperGroup):
    """The commands, whose wrong usage is an object for programs."""

    _as_json = False

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        """Read the words before the command's name."""
        self._as_json = "--json" in args
        with self._told():
            return super().make_context(info_name, args, *rest, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Find the command, read its words, and run it."""
        with self._told():
            return super().invoke(ctx)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except _WRONG_USAGE as error:
            if self._as_json:
                Output(as_json=True).fail_for_programs(CountersignError("usage.wrong", error.format_message()))
            raise
