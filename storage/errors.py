"""What can go wrong with a party's own state.

    CountersignError
    ├── StoreUnavailableError     the world's: try again; after an apply, load first
    │   └── StoreDiskFullError    the world's: somebody must free space
    ├── StoreAbsentError          ours: halt; the data is gone, or was never there
    ├── StoreExistsError          ours: halt; `init` was given a store in use
    ├── UnsafeDurabilityError     ours: halt; the server would forget what it acknowledged
    ├── EquivocationError         ours: halt; we were about to sign a second thing for one place
    └── GuardDamagedError         ours: halt; the guard's file is not what we wrote

A record that is not what was stored raises `protocol.records.DamagedRecordError`.
"""

from protocol.errors import CountersignError


class StoreUnavailableError(CountersignError):
    """The store does not answer, or not now. Whether an apply was done is unknown."""

    def __init__(self, detail: str, code: str = "store.unreachable") -> None:
        super().__init__(code, detail)


class StoreDiskFullError(StoreUnavailableError):
    """The store cannot take more: disk or memory is full."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "disk.full")


class StoreAbsentError(CountersignError):
    """The store is empty: nobody created it, or it was wiped."""

    def __init__(self, detail: str = "") -> None:
        super().__init__("store.wiped", detail)


class StoreExistsError(CountersignError):
    """There is data already where a store was to be created."""

    def __init__(self, detail: str = "") -> None:
        super().__init__("store.exists", detail)


class UnsafeDurabilityError(CountersignError):
    """The server's settings allow it to lose what it acknowledged."""

    def __init__(self, detail: str) -> None:
        super().__init__("store.unsafe_durability", detail)


class EquivocationError(CountersignError):
    """The place holds another hash, or what is to be noted does not follow the last entry."""

    def __init__(self, detail: str) -> None:
        super().__init__("guard.contradiction", detail)


class GuardDamagedError(CountersignError):
    """The guard's file is damaged before its end, or the disk failed under it."""

    def __init__(self, detail: str) -> None:
        super().__init__("guard.damaged", detail)
