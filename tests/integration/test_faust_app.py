"""The live views in a process of their own, on a real Kafka."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from schemas.feed import Learned, LearnedRequest, LearnedWrite, Metrics
from schemas.topics import LEARNED, METRICS, topic_table
from storage.effects import FIRST_OFFSET, Outgoing, Position
from streams.faust_app import _SESSION_TIMEOUT_S, credentials
from streams.kafka_admin import KafkaAdmin
from streams.kafka_connection import KafkaConnection
from streams.kafka_log import KafkaLogReader, KafkaLogWriter
from streams.log import publish
from streams.role_directory import RoleConfiguration
from tests.pipeline import await_that

LEDGER = secrets.token_bytes(32)
ROOT = Path(__file__).parents[2]
PROCESS = """
import sys
from pathlib import Path
from streams.faust_app import run_faust
from streams.role_directory import RoleConfiguration
from streams.stage import StopSignal

stop = StopSignal()
stop.on_signals()
run_faust(RoleConfiguration.load(Path(sys.argv[1])), 0, stop, lambda address: print(address, flush=True))
print("ended")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """A running process of the live views."""

    process: subprocess.Popen[str]
    address: str

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and JSON of a page."""
        request = urllib.request.Request(self.address + path, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            return error.code, json.loads(text) if text.startswith("{") else text

    def page(self, path: str) -> Any:
        """JSON of a page that is there."""
        status, page = self.get(path)
        assert status == 200, page
        return page

    def reach(self, sequence: int) -> None:
        """Wait until a sequence is shown, for longer than a page waits."""
        await_that(f"sequence {sequence}", lambda: self.get(f"/?wait_for={sequence}")[0] == 200)


BROKEN = (
    """
from streams import views_tables
views_tables.tally = None
"""
    + PROCESS
)


@contextmanager
def running(configuration: RoleConfiguration, program: str = PROCESS) -> Iterator[Views]:
    """Start the process, wait until it serves, and end it."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(configuration.directory)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield Views(process=process, address=process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def configuration(stack: LocalStack, unique_name: str, tmp_path: Path) -> RoleConfiguration:
    """A role on the shared Kafka."""
    return make_role(stack, unique_name, tmp_path)


def make_role(stack: LocalStack, prefix: str, tmp_path: Path) -> RoleConfiguration:
    """A role's directory, and the topics that views need."""
    made = RoleConfiguration(
        directory=tmp_path / "views",
        ledger_id=LEDGER.hex(),
        public="",
        bootstrap_servers=stack.bootstrap_servers,
        topic_prefix=prefix,
    )
    made.save()
    wanted = [topic for topic in topic_table(1, 1) if topic.name in (LEARNED, METRICS)]
    KafkaAdmin(made.connection()).create_topics(wanted)
    return made


def learned(sequence: int, ledger_id: bytes = LEDGER, *, ordered_at_ms: int | None = None) -> bytes:
    """A decision with two requests: one writes two records, the other fails. Ordered now, if nothing else is said."""
    ordered_at_ms = time.time_ns() // 1_000_000 if ordered_at_ms is None else ordered_at_ms
    writes = (
        LearnedWrite("bank", "hot", sequence + 1, False, json.dumps({"n": sequence}).encode()),
        LearnedWrite("bank", f"k{sequence}", 1, False, b"1"),
    )
    requests = (
        LearnedRequest(secrets.token_bytes(32), "alice", "transfer", "ok", "", writes),
        LearnedRequest(secrets.token_bytes(32), "bob", "transfer", "failed", "contract.failed", ()),
    )
    return Learned(
        ledger_id=ledger_id,
        sequence=sequence,
        ordered_at_ms=ordered_at_ms,
        learned_at_ms=ordered_at_ms + 5,
        requests=requests,
    ).to_message()


def send(connection: KafkaConnection, messages: Sequence[bytes]) -> None:
    """Publish on `learned`."""
    writer = KafkaLogWriter(connection)
    assert publish(writer, [Outgoing(LEARNED, 0, None, each) for each in messages], lambda: False)
    writer.close()


def counted(views: Views, sequence: int) -> dict[str, Any]:
    """What all pages say once a sequence is in them."""
    activity = views.page(f"/activity/?wait_for={sequence}")
    return {
        "as_of": activity["as_of"],
        "writes": sum(row["writes"] for row in activity["rows"]),
        "requests": {row["entity"]: row["requests"] for row in views.page("/top/")["rows"]},
        "hot": views.page("/records/?namespace=bank&key=hot")["version"],
    }


def expected(decisions: int) -> dict[str, Any]:
    """What they should say after so many decisions."""
    return {
        "as_of": decisions - 1,
        "writes": 2 * decisions,
        "requests": {"alice": decisions, "bob": decisions},
        "hot": decisions,
    }


def test_pages_over_the_feed(configuration: RoleConfiguration) -> None:
    """Windows, latest values and the top list follow the feed; rubbish on it is skipped; only loopback is
    answered; SIGTERM ends it with nothing on standard output but what we print."""
    connection = configuration.connection()
    with running(configuration) as views:
        foreign = learned(50, secrets.token_bytes(32))
        rubbish = [b"", b"rubbish", learned(50)[:-1], b"x" + learned(50), foreign]
        send(connection, [*(learned(i) for i in range(20)), *rubbish, *(learned(i) for i in range(20, 40))])
        assert counted(views, 39) == expected(40)
        bob = views.page("/entities/?entity=bob")
        assert (bob["failed"], bob["code"]) == (40, "contract.failed")
        assert views.page("/records/?namespace=bank&key=hot")["value"] == '{"n": 39}'
        assert views.page("/top/?of=records&rows=1")["rows"][0]["key"] == "hot"
        assert views.page("/records/?rows=3")["rows"][0]["sequence"] == 39
        assert views.page("/")["ledger_id"] == LEDGER.hex()
        assert views.get("/records/?namespace=bank&key=none")[0] == 404
        assert views.get("/top/?rows=0")[0] == 400
        assert views.get("/", {"Host": "evil.example"})[0] == 421
        with urllib.request.urlopen(views.address + "/top/", timeout=30) as response:
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert response.headers["Content-Type"] == "application/json"
        assert [views.get(path)[0] for path in ("/table/", "/router/", "/stats/")] == [404] * 3
        assert measured(connection, 39)["views.skipped"] == len(rubbish)
        views.process.terminate()
        assert views.process.wait(timeout=20) == 0
        assert views.process.stdout is not None
        assert views.process.stdout.read() == "ended\n"


def measured(connection: KafkaConnection, sequence: int) -> dict[str, float]:
    """What the views' process says of itself once it is that far: before, it has not skipped all that it will."""
    reader = KafkaLogReader(connection)
    reader.seek([Position(METRICS, 0, FIRST_OFFSET)])
    deadline = time.monotonic() + 20
    try:
        while time.monotonic() < deadline:
            for message in reader.receive((METRICS,), 100, 500)[0]:
                metrics = Metrics.from_message(message.value or b"")
                values = dict(metrics.values)
                if values.get("views.gauge_sequence") == sequence:
                    assert metrics.role == "views"
                    assert values["views.gauge_learned_p50_ms"] == 5
                    assert values["process.rss_bytes"] > 0
                    return values
    finally:
        reader.close()
    raise AssertionError("the views do not say how they are")


def test_a_killed_process_counts_everything_once(configuration: RoleConfiguration) -> None:
    """Killed without warning while it works, and with a feed that repeats itself: at the end every decision
    is in the tables exactly once, which were made again from their changelogs. The feed reaches over a minute's
    end, and a decision that comes again has the time that it had: what is ordered at another time is another one."""
    connection = configuration.connection()
    begin_ms = time.time_ns() // 1_000_000 - 60_000
    feed = [learned(i, ordered_at_ms=begin_ms + 100 * i) for i in range(600)]
    for decisions in (300, 600):
        send(connection, feed[max(0, decisions - 350) : decisions])
        with running(configuration) as views:
            views.page("/?wait_for=0")
            os.kill(views.process.pid, 9)
    with running(configuration) as views:
        assert counted(views, 599) == expected(600)


def test_a_restart_knows_how_far_it_is(configuration: RoleConfiguration) -> None:
    """The last decisions were empty and changed no row: the pages and the process's own word reach over them."""
    empty = [replace(Learned.from_message(learned(i)), requests=()).to_message() for i in (1, 2)]
    send(configuration.connection(), [learned(0), *empty])
    with running(configuration) as views:
        assert views.page("/?wait_for=2")["as_of"] == 2
        views.process.terminate()
        assert views.process.wait(timeout=20) == 0
    with running(configuration) as views:
        assert views.page("/")["as_of"] == 2


def test_a_process_that_was_paused_counts_everything_once(configuration: RoleConfiguration) -> None:
    """Longer than its group waits for it, twice, while decisions came: Faust leaves some of them out then, at times
    one and at times what it had in hand."""
    connection = configuration.connection()
    feed = [learned(i) for i in range(250)]
    with running(configuration) as views:
        send(connection, feed[:50])
        for first in (50, 150):
            views.reach(first - 1)
            os.kill(views.process.pid, signal.SIGSTOP)
            send(connection, feed[first : first + 50])
            time.sleep(_SESSION_TIMEOUT_S + 1)  # the group has forgotten it
            os.kill(views.process.pid, signal.SIGCONT)
            send(connection, feed[first + 50 : first + 100])
        views.reach(249)
        assert counted(views, 249) == expected(250)


def test_a_mistake_of_ours_ends_the_process(configuration: RoleConfiguration) -> None:
    """Faust goes on after an agent's error, which would leave decisions out: we do not."""
    with running(configuration, BROKEN) as views:
        send(configuration.connection(), [learned(0)])
        assert views.process.wait(timeout=30) == 70
    with running(configuration) as views:
        assert counted(views, 0) == expected(1)


def test_security_settings_of_librdkafka_are_understood(tmp_path: Path) -> None:
    """TLS and SASL settings become Faust's; one that it has no like of is refused, not ignored."""
    plain = credentials(
        {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanisms": "SCRAM-SHA-512",
            "sasl.username": "u",
            "sasl.password": "p",
        }
    )
    assert (plain.username, plain.password, plain.mechanism.value) == ("u", "p", "SCRAM-SHA-512")
    assert plain.ssl_context is None
    assert credentials({"security.protocol": "ssl"}).context.check_hostname
    assert credentials({"security.protocol": "SASL_SSL"}).ssl_context is not None
    assert credentials({"security.protocol": "PLAINTEXT"}) is None
    with pytest.raises(Exception, match=r"config\.invalid.*ssl\.engine\.location"):
        credentials({"security.protocol": "ssl", "ssl.engine.location": "/x"})


@pytest.mark.slow
def test_a_broker_that_is_killed_and_comes_back(own_stack: LocalStack, tmp_path: Path) -> None:
    """The views outlive Kafka: what was decided before and after its death counts once."""
    configuration = make_role(own_stack, "ledger", tmp_path)
    connection = configuration.connection()
    with running(configuration) as views:
        send(connection, [learned(i) for i in range(50)])
        assert counted(views, 49) == expected(50)
        kill_kafka(own_stack)
        own_stack.restart("kafka")
        send(connection, [learned(i) for i in range(50, 100)])
        assert counted(views, 99) == expected(100)


@pytest.mark.slow
def test_the_views_end_without_a_broker(own_stack: LocalStack, tmp_path: Path) -> None:
    """Told to stop while Kafka is dead, they do, in good time: Faust alone would wait for it for ever."""
    configuration = make_role(own_stack, "ledger", tmp_path)
    with running(configuration) as views:
        send(configuration.connection(), [learned(0)])
        assert counted(views, 0) == expected(1)
        kill_kafka(own_stack)
        views.process.terminate()
        assert views.process.wait(timeout=30) == 0
        assert views.process.stdout is not None
        assert views.process.stdout.read() == "ended\n"


def kill_kafka(stack: LocalStack) -> None:
    """End the broker without warning."""
    (kafka,) = (each for each in stack.status() if each.name == "kafka")
    assert kafka.pid is not None
    os.kill(kafka.pid, 9)
