"""The settings an adapter is opened with: all of them strings, as they stand in a configuration."""

from collections.abc import Mapping

from storage.model.errors import InvalidOperationError


def check_settings(
    settings: Mapping[str, str], *, needed: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> None:
    """Check the names of an adapter's settings.

    Raises:
        InvalidOperationError: `config.invalid`: one is missing, or is not known.
    """
    for name in needed:
        if name not in settings:
            raise InvalidOperationError("config.invalid", f"the setting {name} is missing")
    unknown = sorted(settings.keys() - {*needed, *optional})
    if unknown:
        raise InvalidOperationError("config.invalid", f"unknown settings: {', '.join(unknown)}")
