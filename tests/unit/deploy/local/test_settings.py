"""What a stack chose is kept between its starts, for its user only."""

import socket
from pathlib import Path

import pytest

from deploy.local import settings
from deploy.local.ports import LOOPBACK
from deploy.local.settings import StackSettings
from protocol.errors import CountersignError
from storage.record_stores import StoreKind


def _choose(
    before: StackSettings | None = None, fixed_ports: dict[str, int] | None = None
) -> StackSettings:
    return StackSettings.choose(
        store=None, broker="", stores=("a", "b"), listeners=("kafka",), fixed_ports=fixed_ports or {}, before=before
    )


def test_every_listener_has_a_port_and_every_store_a_password() -> None:
    """Ports and passwords are all different."""
    chosen = _choose()
    assert set(chosen.ports) == {"a", "b", "kafka"}
    assert len(set(chosen.ports.values())) == 3
    assert chosen.passwords["a"] != chosen.passwords["b"]


def test_a_later_start_keeps_what_still_is_free() -> None:
    """Passwords and free ports stay; a port that somebody took meanwhile is replaced."""
    first = _choose()
    assert _choose(first) == first
    with socket.create_server((LOOPBACK, first.ports["a"])):
        second = _choose(first)
    assert second.ports["a"] != first.ports["a"]
    assert second.ports["b"] == first.ports["b"]
    assert second.passwords == first.passwords


def test_a_port_that_was_asked_for_is_used_or_refused() -> None:
    """A fixed port is taken as it is, and its absence is an error."""
    wanted = _choose().ports["kafka"]
    assert _choose(fixed_ports={"kafka": wanted}).ports["kafka"] == wanted
    with socket.create_server((LOOPBACK, wanted)), pytest.raises(CountersignError) as caught:
        _choose(fixed_ports={"kafka": wanted})
    assert caught.value.code == "port.taken"


def test_no_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was asked for is not kept for another, and what is drawn avoids all that is given."""
    first = _choose()
    second = _choose(first, fixed_ports={"kafka": first.ports["a"]})
    assert second.ports["kafka"] == first.ports["a"] != second.ports["a"]
    avoided: list[frozenset[int]] = []

    def draw(avoid: frozenset[int] = frozenset()) -> int:
        avoided.append(avoid)
        return 10_000 + len(avoided)

    monkeypatch.setattr(settings, "free_port", draw)
    _choose()
    assert avoided == [frozenset(), {10_001}, {10_001, 10_002}]


def test_settings_survive_their_file_and_only_their_user_reads_it(tmp_path: Path) -> None:
    """What is saved is what is loaded, and the passwords in it are nobody else's."""
    file = tmp_path / "stack.json"
    assert StackSettings.load(file) is None
    chosen = _choose()
    for _ in range(2):
        chosen.save(file)
        assert StackSettings.load(file) == chosen
        assert file.stat().st_mode & 0o777 == 0o600


NOT_AS_THEY_SHOULD_BE = (
    '{"broker": "", "ports": {"kafka": "x"}, "passwords": {}}',
    '{"broker": "", "ports": [], "passwords": {}}',
    '{"broker": 1, "ports": {}, "passwords": {}}',
    '{"broker": "", "ports": {}, "passwords": {}, "store_of": []}',
)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"ports": {}}', "\x00", *NOT_AS_THEY_SHOULD_BE])
def test_a_damaged_file_is_said(tmp_path: Path, text: str) -> None:
    """A file that holds no settings is an error with its name."""
    file = tmp_path / "stack.json"
    file.write_text(text)
    with pytest.raises(CountersignError, match=r"stack\.json") as caught:
        StackSettings.load(file)
    assert caught.value.code == "config.invalid"


def test_a_spread_store_has_a_service_for_each_database_and_keeps_its_shape(tmp_path: Path) -> None:
    """Its ports and passwords are chosen like the others'; a later start with another shape is refused."""
    store_of = {"bank": StoreKind.POSTGRESQL, "object": StoreKind.POSTGRESQL, "music": StoreKind.SQLITE}
    chosen = StackSettings.choose(
        store=None, store_of=store_of, broker="", stores=("a",), listeners=(), fixed_ports={}, before=None
    )
    assert chosen.services_of("a") == {None: "a", "postgresql": "a-postgresql", "sqlite": "a-sqlite"}
    assert [chosen.kind_of(name) for name in ("a", "a-postgresql", "a-sqlite")] == ["redis", "postgresql", "sqlite"]
    assert set(chosen.ports) == set(chosen.passwords) == {"a", "a-postgresql", "a-sqlite"}
    chosen.save(tmp_path / "stack.json")
    assert StackSettings.load(tmp_path / "stack.json") == chosen
    assert _choose(chosen).store_of == store_of
    with pytest.raises(CountersignError, match="bank=postgresql"):
        StackSettings.choose(
            store=None, store_of={}, broker="", stores=("a",), listeners=(), fixed_ports={}, before=chosen
        )
