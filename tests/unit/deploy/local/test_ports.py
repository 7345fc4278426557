"""Ports: free ones are found, taken ones are recognised."""

import socket

import pytest

from deploy.local.ports import LOOPBACK, free_port, is_free, require_free
from protocol.errors import CountersignError


def test_a_free_port_lies_below_the_ephemeral_range_and_can_be_listened_on() -> None:
    """What `free_port` gives can be bound, and is no port that the system gives to outgoing connections."""
    port = free_port()
    with socket.create_server((LOOPBACK, port)), socket.create_connection((LOOPBACK, port)) as client:
        assert port < client.getsockname()[1]


def test_a_port_that_is_listened_on_is_taken() -> None:
    """A listening port is not free, and asking for it is refused with its number."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(CountersignError, match=str(port)) as caught:
            require_free(port)
    assert caught.value.code == "port.taken"
    assert is_free(port)


def test_ports_to_avoid_are_avoided(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all but one port to be avoided, that one is found."""
    monkeypatch.setattr("deploy.local.ports._LOWEST", 12_000)
    monkeypatch.setattr("deploy.local.ports._ephemeral_start", lambda: 12_003)
    monkeypatch.setattr("deploy.local.ports.is_free", lambda port: True)
    assert free_port(frozenset({12_000, 12_002})) == 12_001


def test_no_free_port_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every port is taken the search ends."""
    monkeypatch.setattr("deploy.local.ports.is_free", lambda port: False)
    with pytest.raises(CountersignError) as caught:
        free_port()
    assert caught.value.code == "port.taken"
