"""The Auditor's process."""

import sys

from deploy.initialize import KEY_FILE, SALT_FILE
from deploy.roles.entry import RoleStatus, run_role
from storage.effects import Halt
from streams.auditor_stage import run_auditor
from streams.party_process import open_party
from streams.role_directory import RoleConfiguration, load_key, read_private
from streams.stage import StopSignal


def run(configuration: RoleConfiguration, stop: StopSignal, status: RoleStatus) -> Halt | None:
    """Stand by, then order and validate."""
    key = load_key(configuration.path(KEY_FILE))
    salt_secret = read_private(configuration.path(SALT_FILE))
    status.write("standby")
    with open_party("auditor", configuration, key, stop, lambda: status.write("active")) as process:
        return run_auditor(process, salt_secret) if process else None


if __name__ == "__main__":
    sys.exit(run_role(run))
