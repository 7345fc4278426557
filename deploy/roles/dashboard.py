"""The dashboard's process."""

import sys

from deploy.roles.entry import RoleStatus, run_role
from storage.effects import Halt
from streams.dashboard.process import run_dashboard
from streams.role_directory import RoleConfiguration
from streams.stop_signal import StopSignal


def run(configuration: RoleConfiguration, stop: StopSignal, status: RoleStatus) -> Halt | None:
    """Watch the ledger and serve the page until told to stop."""
    status.write("starting")
    views = RoleStatus(configuration.directory.parent / "views")

    def find_views() -> str:
        return str(views.read().get("address", ""))

    def on_ready(address: str) -> None:
        status.write("active", address=address)

    run_dashboard(configuration, configuration.port, stop, on_ready, find_views)
    return None


if __name__ == "__main__":
    sys.exit(run_role(run))
