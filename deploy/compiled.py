"""The hot modules as machine code: which copy of the packages a role runs, and how set-up makes that copy.

1. mypyc makes machine code of the modules of `COMPILED`, in a copy of all packages; the sources stay what they are, and
   plain Python runs them wherever there is no such copy, more slowly.
2. A copy is named after the hash of everything in it, of Python and of the compiler: who changes a line runs plain
   Python until `make compile`, never something old.
3. Roles run it (`root_of_roles`), and the commands that keep a whole ledger busy (`deploy.cli`): tests, the other
   commands and users of the client import the sources.
4. COUNTERSIGN_COMPILED=no: none is made, and none is used.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from deploy.compiled_modules import COMPILED

_SOURCES = Path(__file__).resolve().parents[1]
_PACKAGES = ("auditor", "countersign", "deploy", "learners", "ledger", "protocol", "schemas", "storage", "streams")
_COPIES = Path(sys.prefix) / "compiled"
_KEPT = 3
"""Copies that stay when another one is made: a role that still runs may start its children from an older one."""

_LOG = "build.log"
_TRY = "import importlib, sys; all(map(importlib.import_module, sys.argv[1:])) or sys.exit(1)"


def root_of_roles() -> Path:
    """The directory whose packages the roles run: the compiled copy of these very sources, or the sources."""
    return _copy() if is_compiled() else _SOURCES


def is_compiled() -> bool:
    """Whether roles run machine code."""
    return _is_wanted() and _copy().is_dir()


def is_outdated() -> bool:
    """Whether there are copies, but of other sources than these."""
    return _is_wanted() and not _copy().is_dir() and bool(_copies())


def failure() -> Path | None:
    """The compiler's log, if it was given these very sources and did not take them."""
    return _failure_log() if _failure_log().exists() else None


def build() -> str:
    """Make the copy of these sources, where it is not there; say in a few words why there is none, or nothing."""
    if is_compiled():
        return ""
    lacking = _lacking()
    if lacking:
        return lacking
    _say(f"compiling {len(COMPILED)} hot modules to machine code (about a minute, once)")
    _COPIES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_COPIES) as made:
        directory = Path(made) / "packages"
        for source in _files():
            target = directory / source.relative_to(_SOURCES)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        if not _compile(directory):
            shutil.copyfile(directory / _LOG, _failure_log())
            return f"the compiler failed, see {_failure_log()}"
        directory.rename(_copy())
    _drop_older()
    return ""


def main() -> None:
    """Make the copy and say on standard error what came of it, no failure if there is none; `--where`: print what
    roles run.
    """
    if sys.argv[1:] == ["--where"]:
        print(root_of_roles())
        return
    reason = build()
    if reason:
        _say(f"roles will run as plain Python, which takes more CPU time: {reason}")


def _is_wanted() -> bool:
    return os.environ.get("COUNTERSIGN_COMPILED", "yes") != "no"


def _files() -> Iterator[Path]:
    """Every file of the packages, in order."""
    for package in _PACKAGES:
        for path in sorted((_SOURCES / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


@cache
def _copy() -> Path:
    """Where the copy of these sources is, or would be."""
    try:
        compiler = version("mypy")
    except PackageNotFoundError:
        compiler = "none"
    digest = sha256(f"{sys.version} {compiler}".encode())
    for path in _files():
        digest.update(f"\0{path.relative_to(_SOURCES)}\0".encode() + sha256(path.read_bytes()).digest())
    return _COPIES / digest.hexdigest()[:32]


def _failure_log() -> Path:
    return _copy().with_suffix(".log")


def _lacking() -> str:
    """Why nothing can, or is to, be compiled here."""
    if not _is_wanted():
        return "COUNTERSIGN_COMPILED=no"
    if sys.prefix == sys.base_prefix:
        return "this is no virtual environment"
    compiler = os.environ.get("CC", sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler})"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python's headers are not here (Debian: python3-dev)"
    try:
        version("mypy"), version("setuptools")
    except PackageNotFoundError as missing:
        return f"the package {missing.name} is not here"
    return ""


def _compile(directory: Path) -> bool:
    """Compile the modules of a copy in place, and import every one."""
    shutil.copyfile(_SOURCES / "pyproject.toml", directory / "pyproject.toml")  # mypy's settings
    files = [f"{module.replace('.', '/')}.py" for module in COMPILED]
    files += sorted(str(file.relative_to(directory)) for file in (directory / "protocol/native").glob("*.c"))
    with (directory / _LOG).open("w") as log:
        for words in (("-m", "deploy.compiling", *files), ("-c", _TRY, *COMPILED)):
            command = [sys.executable, "-P", *words]
            environment = {**os.environ, "PYTHONPATH": str(directory)}
            done = subprocess.run(
                command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
            )
            if done.returncode != 0:
                return False
    for scaffolding in ("build", ".mypy_cache"):
        shutil.rmtree(directory / scaffolding)
    return True


def _copies() -> list[Path]:
    """Every copy that is there, of whatever sources; a build that failed leaves a log only."""
    return [path for path in _COPIES.iterdir() if path.is_dir()] if _COPIES.is_dir() else []


def _drop_older() -> None:
    for log in _COPIES.glob("*.log"):
        log.unlink()
    for copy in sorted(_copies(), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(copy)


def _say(text: str) -> None:
    sys.stderr.write(f"set-up: {text}\n")


if __name__ == "__main__":
    main()
