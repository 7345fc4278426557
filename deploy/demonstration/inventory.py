"""The real input: the provenance of this Python environment, from `importlib.metadata`."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackagePath, distributions
from typing import Any

NAMESPACE = "provenance"
CONTRACT = "provenance.record"
SOURCE = '''"""Records where something came from; what is recorded never changes. Argument: {"key", "value"}."""

def execute(argument):
    if get("provenance", argument["key"]) != None:
        fail("already recorded")
    put("provenance", argument["key"], argument["value"])
'''
READ_CONTRACT = "provenance.read"
READ_SOURCE = '''"""Gives what was recorded under a key, or null. Argument: {"key"}."""

def execute(argument):
    return get("provenance", argument["key"])
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to record, under its key."""

    key: str
    value: dict[str, Any]


def environment_items() -> Iterator[Item]:
    """Every installed distribution, and every file in its RECORD with size and SHA-256."""
    seen: set[str] = set()
    for distribution in sorted(distributions(), key=lambda each: each.metadata["Name"].lower()):
        name = distribution.metadata["Name"]
        if name.lower() in seen:
            continue
        seen.add(name.lower())
        files = [item for file in distribution.files or () if (item := _file_item(name, distribution, file))]
        yield Item(
            key=f"distribution/{name}",
            value={"name": name, "version": distribution.version, "files": len(files)},
        )
        yield from files


def _file_item(name: str, distribution: Distribution, file: PackagePath) -> Item | None:
    """A file as the RECORD describes it; what the RECORD leaves open is measured, None if the file is gone."""
    if file.hash is not None and file.hash.mode == "sha256" and file.size is not None:
        digest, size = base64.urlsafe_b64decode(file.hash.value + "==").hex(), file.size
    else:
        try:
            data = bytes(distribution.locate_file(file).read_bytes())  # type: ignore[attr-defined]
        except OSError:
            return None
        digest, size = hashlib.sha256(data).hexdigest(), len(data)
    return Item(
        key=f"file/{name}/{file.as_posix()}",
        value={"distribution": name, "path": file.as_posix(), "size": size, "sha256": digest},
    )
