"""Starts both services and shops with them: see README.md here."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from deploy.local.ports import free_port
from examples.orders.places import manager_of
from examples.orders.shop import Shop
from examples.orders.transport import Service
from protocol.errors import CountersignError

_START_S = 30.0
_CUSTOMER = 1


class ServiceProcess(Service):
    """A service in a process of its own, that can be killed and started again."""

    def __init__(self, name: str, directory: Path) -> None:
        self._port = free_port()
        super().__init__(self._port)
        self._argv = [sys.executable, "-m", "examples.orders.serve", name, str(directory), str(self._port)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(self._argv)
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self.call("ready")
            except CountersignError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class KilledAfterPrepare:
    """The same service, which dies as soon as it has prepared."""

    def __init__(self, process: ServiceProcess) -> None:
        self.process = process

    def prepare(self, transaction_id: str, calls: int) -> bytes:
        """Prepare, then die."""
        prepared = self.process.prepare(transaction_id, calls)
        self.process.kill()
        return prepared

    def __getattr__(self, phase: str) -> Any:
        return getattr(self.process, phase)


class KilledBeforeCommit(KilledAfterPrepare):
    """The same service, which dies when all is decided, before it hears of it."""

    def prepare(self, transaction_id: str, calls: int) -> bytes:
        """Prepare."""
        return self.process.prepare(transaction_id, calls)

    def commit(self, transaction_id: str) -> None:
        """Die."""
        self.process.kill()
        self.process.commit(transaction_id)


def books(services: dict[str, ServiceProcess]) -> dict[str, Any]:
    """What the customer owes, and what was ordered."""
    customer = services["customers"].call("customer", customer=_CUSTOMER)
    orders = services["orders"].call("orders", customer=_CUSTOMER)
    ordered = sum(order["total"] for order in orders)
    return {"owed": customer["credit_total"], "ordered": ordered, "orders": len(orders)}


def refusal(what: Any, *arguments: Any) -> str:
    """The code with which something is refused."""
    try:
        what(*arguments)
    except CountersignError as error:
        return error.code
    raise AssertionError("it was not refused")


def shopping(shop: Shop, services: dict[str, ServiceProcess]) -> dict[str, Any]:
    """What a customer does on a day of crashes; the books after each step."""
    story: dict[str, Any] = {}
    shop.order(_CUSTOMER, [(1, 2), (2, 1)])
    story["ordered two apples and an orange"] = books(services)
    story["ordered more than the credit limit allows"] = refusal(shop.order, _CUSTOMER, [(4, 3)])
    story["afterwards"] = books(services)

    dying = {**services, "customers": KilledAfterPrepare(services["customers"])}
    story["the customers' service died when it had prepared"] = refusal(shop.order, _CUSTOMER, [(5, 1)], dying)
    services["customers"].start()
    story["afterwards: as if nothing had been ordered"] = books(services)

    dying = {**services, "customers": KilledBeforeCommit(services["customers"])}
    shop.order(_CUSTOMER, [(5, 1)], dying)
    services["customers"].start()
    story["a melon, the service died after the decision"] = books(services)
    story["owed after paying 4000"] = shop.pay(_CUSTOMER, 4000)
    return story


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m examples.orders", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the books as one JSON object")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory(prefix="orders-") as place:
        directory = Path(place)
        services = {name: ServiceProcess(name, directory) for name in ("customers", "orders")}
        try:
            for service in services.values():
                service.start()
            with manager_of(directory) as manager:
                story = shopping(Shop(manager, services), services)
        finally:
            for service in services.values():
                service.kill()
    if as_json:
        print(json.dumps(story))
        return
    for step, told in story.items():
        print(f"{step}: {told}")


if __name__ == "__main__":
    main()
