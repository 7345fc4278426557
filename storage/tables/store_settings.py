"""The settings an adapter is opened with: all of them strings, as they stand in a configuration, or in one URL."""

from collections.abc import Mapping
from typing import NamedTuple

from storage.model.errors import InvalidOperationError
from storage.sqlite_connection import file_of

_SCHEMES = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "redis": "redis",
    "rediss": "redis",
    "valkey": "redis",
    "unix": "redis",
}


class StoreSettings(NamedTuple):
    """A kind of store, and what its adapter is opened with."""

    kind: str
    settings: dict[str, str]


def settings_of(url: str) -> StoreSettings:
    """The store at a URL.

    Args:
        url: `postgresql://`, `redis://`, `rediss://`, `valkey://`, `unix://`, or `sqlite:///path/to/file`.

    Raises:
        InvalidOperationError: `config.invalid`.
        CountersignError: `config.invalid`, of a `sqlite` URL.
    """
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        return StoreSettings("sqlite", {"file": str(file_of(url))})
    if scheme in _SCHEMES and "://" in url:
        rest = url.removeprefix("valkey")
        return StoreSettings(_SCHEMES[scheme], {"url": url if rest == url else f"redis{rest}"})
    known = ", ".join(sorted({*_SCHEMES, "sqlite"}))
    raise InvalidOperationError("config.invalid", f"no URL of a store; it begins with one of {known}, and ://")


def check_settings(
    settings: Mapping[str, str], *, needed: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> None:
    """Check the names of an adapter's settings.

    Raises:
        InvalidOperationError: `config.invalid`: one is missing, or is not known.
    """
    known = f"known are {', '.join((*needed, *optional)) or 'none'}"
    for name in needed:
        if name not in settings:
            raise InvalidOperationError("config.invalid", f"the setting {name} is missing; {known}")
    unknown = sorted(settings.keys() - {*needed, *optional})
    if unknown:
        raise InvalidOperationError("config.invalid", f"unknown settings: {', '.join(unknown)}; {known}")
