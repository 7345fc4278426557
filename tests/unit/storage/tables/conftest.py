"""What the tests of the connection that coroutines share are made of."""

from collections.abc import Iterator
from typing import cast

import pytest

from storage.tables.redis_awaited_link import AwaitedLink
from storage.tables.redis_link import RedisLink
from tests.awaited_link import ToldServer


@pytest.fixture
def server() -> Iterator[ToldServer]:
    server = ToldServer()
    yield server
    for end in server.ends:
        end.close()


@pytest.fixture
def link(server: ToldServer) -> AwaitedLink:
    return AwaitedLink(cast(RedisLink, server))
