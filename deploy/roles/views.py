"""The live views' process: a Faust app over the learner's change feed."""

import sys

from deploy.roles.entry import RoleStatus, run_role
from storage.effects import Halt
from streams.faust_app import run_faust
from streams.role_directory import RoleConfiguration
from streams.stop_signal import StopSignal


def run(configuration: RoleConfiguration, stop: StopSignal, status: RoleStatus) -> Halt | None:
    """Keep and serve the views until told to stop."""
    status.write("starting")
    run_faust(configuration, configuration.port, stop, lambda address: status.write("active", address=address))
    return None


if __name__ == "__main__":
    sys.exit(run_role(run))
