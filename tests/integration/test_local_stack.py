"""The local stack on real servers: up, used, crashed, back, and gone."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from deploy.local import valkey
from deploy.local.kafka import NAME as KAFKA
from deploy.local.ports import is_free
from deploy.local.stack import AUDITOR_STORE, LEDGER_STORE, LocalStack
from protocol.errors import CountersignError


def _make_topic(stack: LocalStack, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)


def _produce(stack: LocalStack, topic: str, value: bytes) -> None:
    outcomes: list[object] = []
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "enable.idempotence": True})
    producer.produce(topic, value, on_delivery=lambda error, _: outcomes.append(error))
    assert producer.flush(30) == 0
    assert outcomes == [None]


def _consume(stack: LocalStack, topic: str, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": topic})
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages = consumer.consume(count, 30)
    consumer.close()
    assert all(message.error() is None for message in messages)
    return [message.value() or b"" for message in messages]


def _alive(stack: LocalStack) -> dict[str, int]:
    return {each.name: each.pid for each in stack.status() if each.pid is not None}


def test_messages_of_the_greatest_size_go_through_kafka(stack: LocalStack, unique_name: str) -> None:
    """A message goes in and comes out, and so does one of 8 MiB."""
    _make_topic(stack, unique_name)
    _produce(stack, unique_name, b"small")
    assert _consume(stack, unique_name, 1) == [b"small"]
    big = os.urandom(8 * 1024 * 1024)
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "message.max.bytes": 9 * 1024 * 1024})
    producer.produce(unique_name, big)
    assert producer.flush(30) == 0
    assert _consume(stack, unique_name, 2) == [b"small", big]


def test_a_misspelt_topic_is_not_made(stack: LocalStack, unique_name: str) -> None:
    """Producing to an unknown topic makes none."""
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "message.timeout.ms": 500})
    producer.produce(unique_name, b"")
    producer.flush(10)
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    assert unique_name not in admin.list_topics(timeout=10).topics


def test_stores_are_durable_and_apart(stack: LocalStack) -> None:
    """Both stores fsync every write, evict nothing, and neither party's password opens the other's store."""
    for name in (AUDITOR_STORE, LEDGER_STORE):
        with redis.Redis.from_url(stack.store_url(name)) as store:
            settings = store.config_get("append*", "maxmemory-policy", "bind", "save")
            assert settings["appendonly"] == "yes"
            assert settings["appendfsync"] == "always"
            assert settings["maxmemory-policy"] == "noeviction"
            assert settings["bind"] == "127.0.0.1"
    auditor, ledger = (urlsplit(stack.store_url(name)) for name in (AUDITOR_STORE, LEDGER_STORE))
    assert ledger.port
    assert ledger.password
    assert auditor.password
    assert valkey.answers(ledger.port, ledger.password)
    assert not valkey.answers(ledger.port, auditor.password)


def test_everything_listens_on_loopback_only(stack: LocalStack) -> None:
    """No service of the stack listens on an address that another machine could reach."""
    for pid in _alive(stack).values():
        connections = psutil.Process(pid).net_connections()
        listening = {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}
        assert listening
        assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_kafkas_log_is_readable(stack: LocalStack) -> None:
    """Kafka's log has its own lines, with time and level, and no complaint about a missing logger."""
    log = stack.log_file(KAFKA).read_text()
    assert "INFO  [KafkaRaftServer nodeId=1] Kafka Server started" in log
    assert "SLF4J" not in log


def test_a_second_start_says_that_it_runs(stack: LocalStack) -> None:
    """Starting again is refused with the addresses, and disturbs nothing."""
    before = _alive(stack)
    with pytest.raises(CountersignError) as caught:
        LocalStack(stack.directory).start()
    assert caught.value.code == "stack.running"
    assert stack.bootstrap_servers in caught.value.detail
    assert _alive(stack) == before


def test_crashed_stores_come_back_with_everything_acknowledged(fresh_stores: LocalStack) -> None:
    """A store that was killed right after an acknowledged write has it when it is back, at its address."""
    url = fresh_stores.store_url(LEDGER_STORE)
    with redis.Redis.from_url(url) as store:
        for number in range(200):
            store.set(f"key-{number}", number)
    fresh_stores.supervisor.kill(LEDGER_STORE)
    assert LEDGER_STORE not in _alive(fresh_stores)
    fresh_stores.restart(LEDGER_STORE)
    assert fresh_stores.store_url(LEDGER_STORE) == url
    with redis.Redis.from_url(url) as store:
        assert store.dbsize() == 200


@pytest.mark.slow
def test_a_crashed_kafka_comes_back_and_stop_leaves_nothing(own_stack: LocalStack) -> None:
    """Kafka, killed and started again, has its messages and takes new ones; stop leaves nothing."""
    _make_topic(own_stack, "kept")
    _produce(own_stack, "kept", b"before")
    servers = own_stack.bootstrap_servers
    own_stack.supervisor.kill(KAFKA)
    own_stack.restart(KAFKA)
    assert own_stack.bootstrap_servers == servers
    _produce(own_stack, "kept", b"after")
    assert _consume(own_stack, "kept", 2) == [b"before", b"after"]

    processes = [psutil.Process(pid) for pid in _alive(own_stack).values()]
    ports = [int(each.address.rpartition(":")[2]) for each in own_stack.status()]
    own_stack.stop()
    assert own_stack.status() == ()
    assert not [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    assert all(is_free(port) for port in ports)


def test_what_a_killed_starter_started_can_be_stopped(stack: LocalStack, tmp_path: Path) -> None:
    """A starter that was killed leaves services running, which any other process can stop."""
    program = (
        "import os, signal, sys; from pathlib import Path; from deploy.local.stack import LocalStack\n"
        f"LocalStack(Path({str(tmp_path)!r}), broker={stack.bootstrap_servers!r}).start()\n"
        "os.killpg(os.getpgrp(), signal.SIGKILL)"
    )
    starter = subprocess.run([sys.executable, "-c", program], start_new_session=True, check=False)
    assert starter.returncode == -9
    left = LocalStack(tmp_path)
    assert set(_alive(left)) == {AUDITOR_STORE, LEDGER_STORE}
    left.stop()
    assert _alive(left) == {}


def test_a_taken_port_is_named_and_nothing_is_left(stack: LocalStack, tmp_path: Path) -> None:
    """Asked for a port that is taken, the stack says which, and starts nothing."""
    taken = int(stack.bootstrap_servers.rpartition(":")[2])
    refused = LocalStack(tmp_path, kafka_port=taken)
    with pytest.raises(CountersignError) as caught:
        refused.start()
    assert caught.value.code == "port.taken"
    assert str(taken) in caught.value.detail
    assert refused.status() == ()


def test_a_kafka_elsewhere_is_used_again_without_being_told(stack: LocalStack, tmp_path: Path) -> None:
    """The topics are there; a stack that has its own is not led away from it."""
    LocalStack(tmp_path / "stores", broker=stack.bootstrap_servers).start()
    LocalStack(tmp_path / "stores").stop()
    again = LocalStack(tmp_path / "stores")
    again.start()
    try:
        assert again.bootstrap_servers == stack.bootstrap_servers
        assert _alive(again).keys() == {AUDITOR_STORE, LEDGER_STORE}
        assert again.missing() == ()
    finally:
        again.stop()


def test_a_place_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path with patterns, quotes, commas, colons and letters beyond ASCII: all data lies in it, and only there.

    Kafka cut it at the comma and wrote beside it; with `[` Valkey found no configuration and served everybody.
    """
    monkeypatch.setenv("LC_ALL", "C")
    place = tmp_path / "[it]'s: ü, \"q\" $x #h %20"
    odd = LocalStack(place)
    odd.start()
    try:
        _make_topic(odd, "kept")
        _produce(odd, "kept", b"value")
        with redis.Redis.from_url(odd.store_url(LEDGER_STORE)) as store:
            store.set("key", "value")
        assert (place / KAFKA / "data" / "kept-0").is_dir()
        assert any((place / LEDGER_STORE / "data").rglob("*.aof"))
        assert list(tmp_path.iterdir()) == [place]
    finally:
        odd.stop()
