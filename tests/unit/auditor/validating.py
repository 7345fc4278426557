"""A validating machine that waits for results, answers to it, and how far it has come."""

from typing import Any

from auditor.state import read_sequence
from schemas.statement import Result
from tests.unit.auditor.auditor_world import ValidateWorld, Watched, configured


def started(orders: int = 0, **changes: Any) -> tuple[ValidateWorld, Watched]:
    """A validating machine that waits for its first result, of so many orders."""
    world = ValidateWorld(configured(**changes))
    for _ in range(orders):
        world.order()
    stage = world.validate_stage()
    stage.move()
    return world, stage


def answered(world: ValidateWorld, stage: Watched, *results: Result) -> None:
    world.answer(*results)
    stage.move()


def decided(world: ValidateWorld) -> int:
    return read_sequence(world.disks.store.load().cells["decided"])
