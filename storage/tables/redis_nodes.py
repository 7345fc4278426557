"""The servers on which a store's buckets lie."""

from collections.abc import Mapping
from typing import Any, Protocol

from storage.tables.port import Durability
from storage.tables.redis_awaited_link import AwaitedLink
from storage.tables.redis_commands import Packed
from storage.tables.redis_link import Command, RedisLink, Script

CATALOGUE = -1
"""In place of a bucket's number: where the catalogue lies."""


class RedisNodes(Protocol):
    """One server or a cluster; its methods are those of `RedisLink`, on the server that holds a bucket."""

    @property
    def durability(self) -> Durability:
        """The least that any of them promises."""
        ...

    @property
    def address(self) -> str:
        """Where they are, for people."""
        ...

    def ask(self, bucket: int, *commands: Command) -> list[Any]:
        """Commands that may be tried again, in one round trip."""
        ...

    def read(self, bucket: int, command: bytes) -> Any:
        """One packed command that may be tried again."""
        ...

    def ask_script(self, bucket: int, script: Script, arguments: Packed) -> Any:
        """Run a script, of which these are the number of keys, the keys and the arguments; it may be run again."""
        ...

    def ask_scripts(self, script: Script, calls: Mapping[int, Packed]) -> Mapping[int, Any]:
        """As `ask_script` for several buckets, all servers at once."""
        ...

    def call_script(self, bucket: int, script: Script, arguments: Packed) -> Any:
        """Run a script once, and never again."""
        ...

    def awaited(self) -> AwaitedLink | None:
        """A link for coroutines; None: there is none for these servers."""
        ...

    def close(self) -> None:
        """End all connections."""
        ...


class SingleNode:
    """One server that holds everything."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    @property
    def durability(self) -> Durability:
        """What it promises."""
        return self._link.durability

    @property
    def address(self) -> str:
        """Host and port, or a path."""
        return self._link.address

    def ask(self, bucket: int, *commands: Command) -> list[Any]:
        """See `RedisLink.ask`."""
        return self._link.ask(*commands)

    def read(self, bucket: int, command: bytes) -> Any:
        """See `RedisLink.read`."""
        return self._link.read(command)

    def ask_script(self, bucket: int, script: Script, arguments: Packed) -> Any:
        """See `RedisLink.ask_script`."""
        return self._link.ask_script(script, arguments)

    def ask_scripts(self, script: Script, calls: Mapping[int, Packed]) -> Mapping[int, Any]:
        """See `RedisLink.ask_scripts`."""
        return dict(zip(calls, self._link.ask_scripts(script, tuple(calls.values())), strict=True))

    def call_script(self, bucket: int, script: Script, arguments: Packed) -> Any:
        """See `RedisLink.call_script`."""
        return self._link.call_script(script, arguments)

    def awaited(self) -> AwaitedLink | None:
        """A link for coroutines, unless connections are encrypted."""
        return None if self._link.is_encrypted else AwaitedLink(self._link)

    def close(self) -> None:
        """End its connections."""
        self._link.close()
