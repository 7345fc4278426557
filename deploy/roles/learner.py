"""The learner's process, with its query endpoint on loopback."""

import sys

from deploy.roles.entry import RoleStatus, run_role
from storage.duckdb_views import DuckDbViews
from storage.effects import Halt
from streams.learner_process import open_follower
from streams.learner_stage import run_learner
from streams.process_memory import limit_growth
from streams.query_server import QueryServer
from streams.role_directory import RoleConfiguration
from streams.stage import StopSignal

VIEWS_FILE = "views.duckdb"


def run(configuration: RoleConfiguration, stop: StopSignal, status: RoleStatus) -> Halt | None:
    """Learn, and answer queries, until told to stop."""
    with open_follower("learner", configuration, stop) as process:
        epochs = process.epochs
        views = DuckDbViews(configuration.path(VIEWS_FILE), epochs.ledger_id)
        server = QueryServer(views, port=configuration.port)
        server.start()
        try:
            limit_growth()
            status.write("active", address=server.url)
            return run_learner(process, views)
        finally:
            server.stop()
            views.close()


if __name__ == "__main__":
    sys.exit(run_role(run))
