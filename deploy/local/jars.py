"""Kafka's jars: resolved once from their Maven coordinates, pinned by sha256, kept in the user's cache.

1. `kafka-jars.lock` beside this file has one line per jar: coordinate and sha256. Nothing else is ever put on
   the class path, and every jar is hashed again at each start.
2. A jar that is not the pinned one is thrown away, fetched once more, and then refused.
3. `python -m deploy.local.jars` resolves `_ROOTS` anew and writes the list: only after a change of versions.
"""

import fcntl
import hashlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.cache import cache_directory
from deploy.local.disk import explained
from protocol.errors import CountersignError

LOCK_FILE = Path(__file__).with_name("kafka-jars.lock")
_KAFKA = "org.apache.kafka:kafka_2.13:4.3.0"
_LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
"""Kafka logs through slf4j 1.7 and brings log4j-core itself, but not what joins them."""
_DOWNLOADS_AT_ONCE = 6
_TIMEOUT_S = 60

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Jar:
    """One pinned jar."""

    coordinate: str
    """group:artifact:version"""
    sha256: str


def pinned_jars() -> tuple[Jar, ...]:
    """The jars of the lock file."""
    lines = LOCK_FILE.read_text().splitlines()
    rows = (line.split() for line in lines if line and not line.startswith("#"))
    return tuple(Jar(coordinate=coordinate, sha256=sha256) for coordinate, sha256 in rows)


def fetch_jars(progress: Progress) -> tuple[Path, ...]:
    """Give the paths of all pinned jars, after downloading those that the cache does not have.

    Raises:
        CountersignError: `registry.unreachable`, `registry.wrong_file`, `disk.full`, `file.unusable` or
            `local.not_installed`.
    """
    cache = cache_directory()
    jars = pinned_jars()
    with explained(f"keeping Kafka's jars in {cache}"), _alone(cache):
        missing = [jar for jar in jars if not _is_pinned(_path(cache, jar), jar)]
        if missing:
            progress(f"fetching {len(missing)} of Kafka's {len(jars)} jars into {cache}")
            context = _maven(cache)
            with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
                list(pool.map(lambda jar: _fetch(context, cache, jar), missing))
    return tuple(_path(cache, jar) for jar in jars)


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Let one process at a time change the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _path(cache: Path, jar: Jar) -> Path:
    group, artifact, version = jar.coordinate.split(":")
    return cache.joinpath("maven", *group.split("."), artifact, version, f"{artifact}-{version}.jar")


def _is_pinned(path: Path, jar: Jar) -> bool:
    return path.is_file() and _sha256(path) == jar.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(context: Any, cache: Path, jar: Jar) -> None:
    path = _path(cache, jar)
    path.unlink(missing_ok=True)  # half a download, or something else
    with explained(f"fetching {jar.coordinate}"):
        try:
            context.create_dependency(jar.coordinate).artifact.resolve()
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
            if getattr(error, "errno", None) is not None:
                raise
            raise CountersignError("registry.unreachable", f"{jar.coordinate}: {error}") from error
    if not _is_pinned(path, jar):
        path.unlink(missing_ok=True)
        raise CountersignError("registry.wrong_file", jar.coordinate)


def _maven(cache: Path) -> Any:
    try:
        from jgo.maven import MavenContext
    except ImportError as error:
        raise CountersignError("local.not_installed", "jgo") from error
    return MavenContext(repo_cache=cache / "maven", timeout=_TIMEOUT_S)


def write_lock() -> None:
    """Resolve the roots, fetch every jar, and pin what came."""
    context = _maven(cache_directory())
    roots, others = context.resolver.resolve([context.create_dependency(_KAFKA)])
    # Resolved by itself: as a second root its own wishes would replace the versions that Kafka asks for.
    binding = context.create_dependency(_LOG_BINDING)
    needed = [dependency for dependency in others if dependency.scope in ("compile", "runtime")]
    lines = ["# What Kafka runs on: group:artifact:version and sha256. Written by `make lock`."]
    for dependency in sorted([*roots, binding, *needed], key=lambda each: (each.groupId, each.artifactId)):
        coordinate = f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}"
        lines.append(f"{coordinate} {_sha256(dependency.artifact.resolve())}")
    LOCK_FILE.write_text("\n".join(lines) + "\n")
    print(f"{LOCK_FILE}: {len(lines) - 1} jars", file=sys.stderr)


if __name__ == "__main__":
    write_lock()
