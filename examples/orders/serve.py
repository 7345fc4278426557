"""One service as a process: `python -m examples.orders.serve customers|orders DIRECTORY PORT`."""

import sys
from pathlib import Path

from examples.orders import customers, orders
from examples.orders.places import manager_of
from examples.orders.transport import server
from storage.transactions.services import JoinedTransactions

SERVICES = {"customers": customers, "orders": orders}


def serve(name: str, directory: Path, port: int) -> None:
    """Serve until the process is ended."""
    service = SERVICES[name]
    with manager_of(directory, name) as manager:
        service.load_first(manager)
        joined = JoinedTransactions(manager)
        server(port, service.calls(manager, joined), joined).serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
