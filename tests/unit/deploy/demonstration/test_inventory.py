"""The demo's real input: what this Python environment has installed."""

import hashlib
import random
from importlib.metadata import distribution, distributions

import pytest

from deploy.demonstration.inventory import Item, environment_items
from protocol.canonical_json import dumps
from protocol.contracts.names import is_key
from protocol.limits import Limits

REQUESTS_LEAST = 5_000


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return list(environment_items())


def test_there_is_enough_of_it(items: list[Item]) -> None:
    """One request for each file and each distribution, none twice, each of which a ledger takes."""
    limits = Limits()
    assert len(items) >= REQUESTS_LEAST
    assert len({item.key for item in items}) == len(items)
    for item in items:
        assert is_key(item.key, limits)
        assert len(dumps({"key": item.key, "value": item.value})) <= limits.argument_bytes


def test_every_distribution_is_there(items: list[Item]) -> None:
    """With its version, and with as many files as follow."""
    named = {item.value["name"]: item.value for item in items if item.key.startswith("distribution/")}
    assert {name.lower() for name in named} == {each.metadata["Name"].lower() for each in distributions()}
    for name, value in named.items():
        assert value["version"] == distribution(name).version
        assert value["files"] == sum(item.key.startswith(f"file/{name}/") for item in items)


def test_sizes_and_hashes_are_those_of_the_files(items: list[Item]) -> None:
    """A hundred of them, read again; but for what Python compiles as it goes."""
    files = [item.value for item in items if item.key.startswith("file/") and not item.key.endswith(".pyc")]
    for value in random.Random(1).sample(files, 100):
        data = distribution(value["distribution"]).locate_file(value["path"]).read_bytes()  # type: ignore[attr-defined]
        assert (len(data), hashlib.sha256(data).hexdigest()) == (value["size"], value["sha256"]), value["path"]
