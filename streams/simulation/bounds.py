"""Bounded memory: what machines hold and stores keep back, however long a stage stands still."""

from collections.abc import Iterator, Sized

from storage.machine import Machine
from streams.simulation.twin import require
from streams.simulation.world import World

HELD_MAX = 64
"""Things that a machine may hold in one place, with the tiny limits of a simulation: a few windows."""

_OUTBOX_KINDS = {"auditor": ("order", "rejections", "decision"), "ledger": ("result", "order")}


def check_bounds(world: World) -> None:
    """Check what machines hold and outboxes keep.

    Raises:
        Violation: it grows beyond what the window explains.
    """
    for process in world.processes:
        for actor in process.actors:
            for name, held in _held(actor.machine):
                if isinstance(held, Sized) and not isinstance(held, bytes):
                    require(len(held) <= HELD_MAX, f"{actor.name} holds {len(held)} in {name}")
    most = 4 * world.founding.epochs.latest.window
    for site in (world.auditor, world.ledger):
        for kind in _OUTBOX_KINDS[site.party]:
            count = len(site.store.read_outbox(kind, 0, 1 << 40))
            require(count <= most, f"the outbox of the {site.party} keeps {count} of kind {kind}")


def _held(machine: Machine) -> Iterator[tuple[str, object]]:
    """What a machine's attributes hold; a compiled one has no `__dict__`, and its class lists their names."""
    names = getattr(machine, "__mypyc_attrs__", None)
    for name in vars(machine) if names is None else names:
        yield name, getattr(machine, name, None)
