"""`simulate`: the same machines in memory, with seeded faults."""

import typer


def register(app: typer.Typer) -> None:
    """Add the command, where the simulation is there."""
