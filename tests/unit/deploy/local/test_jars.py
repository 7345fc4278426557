"""Only pinned jars are ever used, and what stands in the way is said."""

import errno
import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from deploy.local import jars
from deploy.local.jars import Jar, fetch_jars, pinned_jars
from protocol.errors import CountersignError

GOOD = b"what was pinned"
JAR = Jar(coordinate="org.example:part:1.0", sha256=hashlib.sha256(GOOD).hexdigest())


class Registry:
    """Stands in for the Maven client: answers every coordinate with the same bytes, or the same error."""

    def __init__(self, cache: Path, answer: bytes | Exception) -> None:
        self.asked = 0
        self._file = cache / "maven" / "org" / "example" / "part" / "1.0" / "part-1.0.jar"
        self._answer = answer

    def create_dependency(self, coordinate: str) -> SimpleNamespace:
        assert coordinate == JAR.coordinate
        return SimpleNamespace(artifact=SimpleNamespace(resolve=self._resolve))

    def _resolve(self) -> Path:
        self.asked += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        assert not self._file.exists(), "the client keeps a file that is there"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_bytes(self._answer)
        return self._file


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and one jar to fetch."""
    monkeypatch.setenv("COUNTERSIGN_CACHE", str(tmp_path))
    monkeypatch.setattr(jars, "pinned_jars", lambda: (JAR,))
    return tmp_path


def _registry(cache: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes | Exception) -> Registry:
    registry = Registry(cache, answer)
    monkeypatch.setattr(jars, "_maven", lambda _: registry)
    return registry


def test_every_jar_of_kafka_is_pinned() -> None:
    """The list holds Kafka itself and the binding of its log, each with a whole sha256, each once."""
    pinned = pinned_jars()
    artifacts = [jar.coordinate.split(":")[1] for jar in pinned]
    assert {"kafka_2.13", "kafka-clients", "log4j-core", "log4j-slf4j-impl"} <= set(artifacts)
    assert len(set(artifacts)) == len(artifacts)
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in pinned)


def test_a_jar_is_fetched_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the cache is used without asking anybody."""
    registry = _registry(cache, monkeypatch, GOOD)
    said: list[str] = []
    first = fetch_jars(said.append)
    assert [path.read_bytes() for path in first] == [GOOD]
    assert fetch_jars(said.append) == first
    assert registry.asked == 1
    assert len(said) == 1


def test_a_damaged_jar_in_the_cache_is_fetched_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a download, or a jar that somebody changed, is replaced."""
    _registry(cache, monkeypatch, GOOD)
    (path,) = fetch_jars(print)
    path.write_bytes(GOOD[:3])
    assert [each.read_bytes() for each in fetch_jars(print)] == [GOOD]


def test_a_wrong_jar_is_refused_and_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that gives other bytes than the pinned ones is not believed."""
    _registry(cache, monkeypatch, b"something else")
    with pytest.raises(CountersignError, match=JAR.coordinate) as caught:
        fetch_jars(print)
    assert caught.value.code == "registry.wrong_file"
    assert not list(cache.rglob("*.jar"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (requests.ConnectionError("no route"), "registry.unreachable"),
        (requests.Timeout("too slow"), "registry.unreachable"),
        (RuntimeError("not found in remote repositories"), "registry.unreachable"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk.full"),
        (OSError(errno.EACCES, "Permission denied"), "file.unusable"),
    ],
)
def test_what_stands_in_the_way_is_said(
    cache: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    """Network, registry and disk each have their own code."""
    _registry(cache, monkeypatch, error)
    with pytest.raises(CountersignError) as caught:
        fetch_jars(print)
    assert caught.value.code == code


def test_a_registry_that_nobody_runs_is_unreachable(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real client against a closed port: the error names what could not be had."""
    maven = pytest.importorskip("jgo.maven")
    context = maven.MavenContext(
        repo_cache=cache / "maven", remote_repos={"nobody": "http://127.0.0.1:1/maven"}, timeout=5
    )
    monkeypatch.setattr(jars, "_maven", lambda _: context)
    with pytest.raises(CountersignError, match=JAR.coordinate) as caught:
        fetch_jars(print)
    assert caught.value.code == "registry.unreachable"
