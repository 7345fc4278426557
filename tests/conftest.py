"""What every test shares.

- Quick tests run first: the house itself, units, properties, conformance, simulation; real servers last.
- What lies in tests/integration is marked `integration`, so that `make unit` leaves it out.
- Hypothesis judges no test by its speed: the machine may be busy.
- What tests keep ends with their module, and what one makes the garbage collector do ends with it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.garbage import forget_what_is_kept, usual_collection
from tests.postgresql import Postgresql
from tests.valkey import Valkey

_ORDER = ("architecture", "unit", "property", "conformance", "simulation", "integration")
_HERE = Path(__file__).parent

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def _directory(item: pytest.Item) -> str:
    return item.path.relative_to(_HERE).parts[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by directory, and put the quick ones first."""
    for item in items:
        if _directory(item) == "integration":
            item.add_marker(pytest.mark.integration)
    items.sort(key=lambda item: (*_ORDER, _directory(item)).index(_directory(item)))


@pytest.fixture(autouse=True)
def collection() -> Iterator[None]:
    """Commands and roles that a test runs within its own process have it collect rarely, and would for all after it."""
    with usual_collection():
        yield


@pytest.fixture(scope="module", autouse=True)
def caches(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a module keeps for its tests is of no use to those of others."""
    yield
    forget_what_is_kept(request.module)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Valkey that tests share; whoever needs it empty empties it."""
    server = Valkey(tmp_path_factory.mktemp("valkey")).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgresql]:
    """A PostgreSQL that tests share; whoever needs it empty wipes its first database, or takes another."""
    server = Postgresql(tmp_path_factory.mktemp("postgresql")).start()
    yield server
    server.stop()
