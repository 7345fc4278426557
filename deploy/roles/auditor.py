"""The Auditor's process."""

import sys
from functools import partial

from deploy.initialize import KEY_FILE, SALT_FILE
from deploy.roles.entry import RoleStatus, run_role
from storage.effects import Halt
from streams.auditor_stage import run_auditor
from streams.party_process import open_party
from streams.role_directory import RoleConfiguration, load_key, read_private
from streams.stage import StopSignal


def run(configuration: RoleConfiguration, stop: StopSignal, status: RoleStatus) -> Halt | None:
    """Stand by, then order and validate."""
    read_private(configuration.path(SALT_FILE))  # a standby says at its start that it is missing
    status.write("standby")
    read_key = partial(load_key, configuration.path(KEY_FILE))
    with open_party("auditor", configuration, read_key, stop, lambda: status.write("active")) as process:
        return run_auditor(process, read_private(configuration.path(SALT_FILE))) if process else None


if __name__ == "__main__":
    sys.exit(run_role(run))
