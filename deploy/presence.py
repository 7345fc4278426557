"""Whether a ledger is there at all: found out before anything waits for it.

1. A ledger of this machine that was stopped is known by its pid files; nobody is asked.
2. A party that halted has said so in its directory.
3. A Kafka is there if one of its addresses takes a connection. How long it takes to answer then says nothing: one
   that is slow is waited for, as long as ever.
"""

import socket
import time
from urllib.parse import urlsplit

from deploy.home import Home
from deploy.initialize import AUDITOR, CLIENT, LEDGER
from deploy.local.kafka import NAME as KAFKA
from deploy.local.stack import LocalStack
from deploy.roles.entry import RoleStatus
from protocol.errors import CountersignError
from streams.log import LogUnavailableError

_CONNECT_S = 4.0
"""For all addresses together: a first attempt that is lost on the way is made again after 1 s and 3 s."""
_CONNECT_EACH_S_MIN = 0.5
_KAFKA_PORT = 9092


def require_running(home: Home, role: str = CLIENT) -> None:
    """Require that somebody is there for a role to speak to.

    Raises:
        CountersignError: `config.missing`; `stack.down`, the ledger of this home was not started, or was stopped;
            `broker.unreachable`, nobody takes connections.
    """
    addresses = str(home.load(role).connection().client_settings()["bootstrap.servers"])
    if not addresses:
        raise CountersignError("stack.down", f"{home.directory} was never started")
    if _is_stopped(home, addresses):
        missing = LocalStack(home.stack).missing() or ("the parties",)  # a store may be a file
        raise CountersignError("stack.down", f"{home.directory}: not running: {', '.join(missing)}")
    require_listening(addresses)


def require_listening(addresses: str) -> None:
    """Require that a Kafka takes connections.

    Args:
        addresses: `host:port`, several with commas.

    Raises:
        LogUnavailableError: none of them does.
    """
    deadline = time.monotonic() + _CONNECT_S
    said: list[str] = []
    for address in addresses.split(","):
        place = urlsplit("//" + address.strip().rpartition("://")[2])
        left_s = max(_CONNECT_EACH_S_MIN, deadline - time.monotonic())
        try:
            socket.create_connection((place.hostname or "", place.port or _KAFKA_PORT), left_s).close()
        except (OSError, ValueError) as error:
            said.append(f"{address.strip()}: {getattr(error, 'strerror', None) or error}")
        else:
            return
    raise LogUnavailableError("; ".join(said))


def require_deciding(home: Home) -> None:
    """Require that neither party, of those that work here, has halted: nothing is decided before that is mended.

    Raises:
        CountersignError: with the code that it halted with.
    """
    for party in (AUDITOR, LEDGER):
        said = RoleStatus(home.role(party)).read()
        if said.get("state") == "halted":
            raise CountersignError(str(said.get("code")), f"the {party} has halted: {said.get('text')}")


def _is_stopped(home: Home, addresses: str) -> bool:
    """Whether these are the addresses of this home's stack, and it does not run."""
    stack = LocalStack(home.stack)
    try:
        if stack.bootstrap_servers != addresses:
            return False
    except CountersignError as error:
        if error.code != "stack.down":
            raise
        return False  # it was never started: its parties are elsewhere
    if KAFKA in stack.missing():
        return True
    return not any(each.pid for each in stack.status()) and not any(_runs(home, role) for role in (AUDITOR, LEDGER))


def _runs(home: Home, role: str) -> bool:
    """Whether a party works in its directory here, under whatever supervisor; one that is not here may."""
    if not home.role(role).exists():
        return True
    return RoleStatus(home.role(role)).active() is not None
