"""Makes machine code of Python sources, in place: `python -m deploy.compiling FILE...`, where the packages are.

`deploy.compiled` runs it in a copy of them. mypyc writes one extension of many C files, which setuptools would compile
one after the other. Beside it stands the one extension that is written in C (`protocol.native`).
"""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mypyc.build import mypycify
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class _BuildAtOnce(build_ext):  # type: ignore[misc]  # setuptools has no types
    """Compiles the C files of an extension on all cores."""

    def build_extensions(self) -> None:
        """Build, with a compiler that takes many files at once."""
        compile_some = self.compiler.compile

        def compile_all(sources: Sequence[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                made = pool.map(lambda source: compile_some([source], **options), sources)
                return [file for files in made for file in files]

        self.compiler.compile = compile_all
        super().build_extensions()


def _hashing(files: Sequence[str]) -> Extension:
    # Hidden: a library that is loaded before may have an `add` or `end` too, which would be called instead.
    flags = ["-O2", "-fvisibility=hidden"]
    return Extension("protocol.native._hashes", list(files), extra_compile_args=flags, libraries=["dl"])


def main() -> None:
    """Compile the files of the command line: Python with mypyc, and those in C, which are the hashing's."""
    modules = [file for file in sys.argv[1:] if file.endswith(".py")]
    in_c = [file for file in sys.argv[1:] if file.endswith(".c")]
    compiled = mypycify(modules, opt_level="1", debug_level="0", multi_file=True)
    setup(
        name="countersign-compiled",
        packages=[],
        script_args=["build_ext", "--inplace", "--quiet"],
        cmdclass={"build_ext": _BuildAtOnce},
        # -O1: compiled code mostly calls the interpreter's functions, and -O2 takes half as long again for nothing.
        ext_modules=[*compiled, _hashing(in_c)] if in_c else compiled,
    )


if __name__ == "__main__":
    main()
