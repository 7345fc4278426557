"""A replica's process; its number is the end of its directory's name."""

import sys

from deploy.initialize import KEY_FILE
from deploy.roles.entry import RoleStatus, run_role
from learners.dispersal import Encoder
from storage.effects import Halt
from streams.learner_process import open_follower
from streams.replica_stage import run_replica
from streams.role_directory import RoleConfiguration, load_key
from streams.stage import StopSignal


def run(
    configuration: RoleConfiguration, stop: StopSignal, status: RoleStatus, encoder: Encoder | None = None
) -> Halt | None:
    """Disperse until told to stop."""
    name = configuration.directory.name
    key = load_key(configuration.path(KEY_FILE))
    with open_follower(name, configuration, stop, key) as process:
        status.write("active")
        return run_replica(process, int(name.removeprefix("replica-")), encoder)


if __name__ == "__main__":
    sys.exit(run_role(run))
