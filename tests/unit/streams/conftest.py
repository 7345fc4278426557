"""What the tests of the client have in common; those of other modules have a `cluster` or a `world` of their own."""

from collections.abc import Iterator

import pytest

from tests.mock_cluster import MockCluster
from tests.unit.streams.client_world import client_cluster
from tests.worlds import World


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    with client_cluster() as made:
        yield made


@pytest.fixture
def world() -> World:
    return World()
