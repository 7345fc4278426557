"""The compiled copy: of exactly these sources, or none; and whatever is lacking, plain Python goes on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import compiled
from deploy.compiled_modules import COMPILED

_MODULE = "def double(number: int) -> int:\n    return 2 * number\n"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small tree of packages, of which two modules are to be compiled, and a place for its copies."""
    root = tmp_path / "sources"
    (root / "protocol").mkdir(parents=True)
    (root / "protocol" / "__init__.py").touch()
    (root / "protocol" / "doubling.py").write_text(_MODULE)
    (root / "protocol" / "halving.py").write_text("from protocol.doubling import double\n\nFOUR = double(2)\n")
    (root / "pyproject.toml").touch()
    monkeypatch.setattr(compiled, "_SOURCES", root)
    monkeypatch.setattr(compiled, "_PACKAGES", ("protocol",))
    monkeypatch.setattr(compiled, "_COPIES", tmp_path / "copies")
    monkeypatch.setattr(compiled, "COMPILED", ("protocol.doubling", "protocol.halving"))
    monkeypatch.delenv("COUNTERSIGN_COMPILED", raising=False)
    compiled._copy.cache_clear()
    yield root
    compiled._copy.cache_clear()


def _made() -> Path:
    """The copy, made without a compiler."""
    copy = compiled._copy()
    copy.mkdir(parents=True)
    return copy


@pytest.mark.skipif(bool(compiled._lacking()), reason=f"nothing can be compiled here: {compiled._lacking()}")
def test_a_copy_is_machine_code_and_made_once(sources: Path) -> None:
    """What is imported from the copy is no Python source, does the same, and is not made a second time."""
    assert not compiled.is_compiled()
    assert compiled.build() == ""
    assert compiled.is_compiled()
    copy = compiled.root_of_roles()
    program = "from protocol import doubling; print(doubling.double(21), doubling.__file__)"
    told = subprocess.run(
        [sys.executable, "-P", "-c", program], env={"PYTHONPATH": str(copy)}, capture_output=True, text=True, check=True
    )
    answer, file = told.stdout.split()
    assert answer == "42"
    assert file.startswith(str(copy))
    assert not file.endswith(".py")
    assert not (copy / "build").exists()
    made_at = copy.stat().st_mtime_ns
    assert compiled.build() == ""
    assert copy.stat().st_mtime_ns == made_at


def test_a_changed_line_is_never_run_as_it_was(sources: Path) -> None:
    """A copy counts for its own sources only: after a change of any file, also a new one, roles run the sources."""
    copy = _made()
    assert compiled.root_of_roles() == copy
    assert not compiled.is_outdated()
    (sources / "protocol" / "schema.avsc").write_text("{}")
    compiled._copy.cache_clear()
    assert compiled.root_of_roles() == sources
    assert not compiled.is_compiled()
    assert compiled.is_outdated()


def test_nothing_is_compiled_or_used_where_that_is_not_wanted(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """COUNTERSIGN_COMPILED=no turns it off, without a word about what is outdated."""
    _made()
    monkeypatch.setenv("COUNTERSIGN_COMPILED", "no")
    assert compiled.build() == "COUNTERSIGN_COMPILED=no"
    assert compiled.root_of_roles() == sources
    assert not compiled.is_outdated()


def test_a_machine_without_a_compiler_is_no_failure(
    sources: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Set-up goes on, and says what is lacking and what that means."""
    monkeypatch.setenv("CC", "no-such-compiler")
    compiled.main()
    told = capsys.readouterr().err
    assert "no C compiler (no-such-compiler)" in told
    assert "compiling" not in told
    assert "plain Python" in told
    assert compiled.root_of_roles() == sources


@pytest.mark.skipif(bool(compiled._lacking()), reason=f"nothing can be compiled here: {compiled._lacking()}")
def test_a_build_that_fails_leaves_no_copy_but_its_log(sources: Path) -> None:
    """What does not compile is told with its log, and nothing half done is ever used. Other sources have not failed."""
    assert compiled.failure() is None
    (sources / "protocol" / "doubling.py").write_text("number: int = 'no number'\n")
    compiled._copy.cache_clear()
    reason = compiled.build()
    assert "the compiler failed" in reason
    log = Path(reason.rpartition(" ")[2])
    assert "Incompatible types" in log.read_text()
    assert [path.name for path in log.parent.iterdir()] == [log.name]
    assert compiled.failure() == log
    assert not compiled.is_outdated()
    assert compiled.root_of_roles() == sources
    (sources / "protocol" / "doubling.py").write_text(_MODULE)
    compiled._copy.cache_clear()
    assert compiled.failure() is None
    assert compiled.build() == ""
    assert not log.exists()


@pytest.mark.skipif(bool(compiled._lacking()), reason=f"nothing can be compiled here: {compiled._lacking()}")
def test_a_module_that_compiles_but_cannot_be_imported_leaves_no_copy(sources: Path) -> None:
    """Every module is imported once before the copy counts."""
    (sources / "protocol" / "doubling.py").write_text("raise ValueError('at import')\n")
    assert "the compiler failed" in compiled.build()
    assert not compiled.is_compiled()


def test_old_copies_go_when_there_are_many(sources: Path) -> None:
    """The three newest copies stay: a role may run from one that is no longer the newest."""
    for age in range(5):
        copy = compiled._COPIES / f"copy-{age}"
        copy.mkdir(parents=True)
        os.utime(copy, (1_000_000 - age, 1_000_000 - age))
    compiled._drop_older()
    assert sorted(path.name for path in compiled._COPIES.iterdir()) == ["copy-0", "copy-1", "copy-2"]


def test_every_module_of_the_list_is_there() -> None:
    """The list names files, each once."""
    root = Path(__file__).parents[3]
    assert all((root / f"{module.replace('.', '/')}.py").is_file() for module in COMPILED)
    assert len(set(COMPILED)) == len(COMPILED)
