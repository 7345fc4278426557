"""A Java is found: an installed one that is new enough, else the packaged one."""

from pathlib import Path

import pytest

from deploy.local import java
from deploy.local.java import find_java
from protocol.errors import CountersignError


def _make(directory: Path, version: str) -> Path:
    """A program that answers as a Java of this version does."""
    program = directory / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    program.chmod(0o755)
    return program


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Java on the path, none packaged."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("deploy.local.java.shutil.which", lambda _: None)
    monkeypatch.setattr(java, "_packaged", lambda: None)


def test_the_named_java_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAVA_HOME goes first."""
    program = _make(tmp_path, "21.0.3")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java() == java.Java(program=program, version=21)


def test_an_old_java_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java 11 and 1.8 cannot run Kafka: the packaged one is taken."""
    old, packaged = _make(tmp_path / "old", "11.0.2"), _make(tmp_path / "packaged", "25.0.2")
    monkeypatch.setattr("deploy.local.java.shutil.which", lambda _: str(old))
    monkeypatch.setattr(java, "_packaged", lambda: str(packaged))
    monkeypatch.setenv("JAVA_HOME", str(_make(tmp_path / "older", "1.8.0_402").parents[1]))
    assert find_java().program == packaged


def test_no_java_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is none, not even a program that works, the error says so."""
    broken = _make(tmp_path, "21")
    broken.write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setattr("deploy.local.java.shutil.which", lambda _: str(broken))
    with pytest.raises(CountersignError) as caught:
        find_java()
    assert caught.value.code == "local.not_installed"
