"""The Ledger's process."""

import sys
from functools import partial

from deploy.initialize import KEY_FILE
from deploy.roles.entry import RoleStatus, run_role
from deploy.stores import create_ledger_store
from storage.effects import Halt
from streams.ledger_stage import run_ledger
from streams.party_process import open_party
from streams.role_directory import RoleConfiguration, load_key
from streams.stage import StopSignal


def run(configuration: RoleConfiguration, stop: StopSignal, status: RoleStatus) -> Halt | None:
    """Stand by, rebuild what was lost, then commit."""
    status.write("standby")
    read_key = partial(load_key, configuration.path(KEY_FILE))
    with open_party("ledger", configuration, read_key, stop, lambda: status.write("active")) as process:
        if process is None:
            return None
        return run_ledger(process, lambda: create_ledger_store(process.party.store, process.epochs))


if __name__ == "__main__":
    sys.exit(run_role(run))
