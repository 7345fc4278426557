"""Where downloads are kept: outside the repository, shared by every checkout of this user."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """The user's cache directory for Countersign; COUNTERSIGN_CACHE names another."""
    named = os.environ.get("COUNTERSIGN_CACHE")
    if named:
        return Path(named)
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "countersign"
