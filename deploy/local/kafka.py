"""One real Kafka on this machine: broker and controller in one process (KRaft), small and quick to start.

Choices, each measured on two cores with 4,000 messages/s:

1. `-XX:TieredStopAtLevel=1`: the full compiler costs half as much again in the first minute (68 us a message
   instead of 47) and wins little after it (26 instead of 30). `-XX:+UseSerialGC`: no collector threads.
2. Few threads: the broker's work here is a fraction of a core.
3. A short session: after a crash the controller takes the broker back only when its old session has ended.
4. It runs in its directory, and is told no path from the root: it would cut one at a comma, and misread what is not
   ASCII.
5. It is ready when it hands out a producer id: then it is elected, unfenced and able to write.
"""

import os
import secrets
import socket
import struct
import subprocess
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

from deploy.local.java import Java
from deploy.local.ports import LOOPBACK
from deploy.local.supervisor import Service
from protocol.errors import CountersignError

NAME = "kafka"
_HEAP = "512m"
_FORMAT_DEADLINE_S = 120
_READY_DEADLINE_S = 120
_PROBE_TIMEOUT_S = 2.0
_INIT_PRODUCER_ID = 22
_CONFIGURATION = "server.properties"
_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}
"""In another locale Java may not find the directory that it runs in."""
_NATIVE_ACCESS_SINCE = 22
_LOGGING = Path(__file__).with_name("kafka-log4j2.properties")

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=data

# Topics are made by name, with their settings, and never by a misspelt one.
auto.create.topics.enable=false
num.partitions=1
message.max.bytes=9437184
replica.fetch.max.bytes=9437184

# One node.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0

# One small machine.
num.network.threads=2
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.dedupe.buffer.size=8388608
metadata.max.idle.interval.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaNode:
    """A Kafka of its own, with its data in `directory`.

    Attributes:
        directory: holds its configuration and data.
        log_file: where its log goes.
        port: for clients, on loopback.
        controller_port: for its controller, on loopback.
        java: what runs it.
        jars: its class path.
    """

    directory: Path
    log_file: Path
    port: int
    controller_port: int
    java: Java
    jars: tuple[Path, ...]

    @property
    def bootstrap_servers(self) -> str:
        """Where clients find it."""
        return f"{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        """Write the configuration, and format the data directory the first time.

        Raises:
            CountersignError: `service.failed` with what the format tool said.
        """
        data = self.directory / "data"
        for needed in (data, self.directory / "tmp"):
            needed.mkdir(parents=True, exist_ok=True)
        (self.directory / _CONFIGURATION).write_text(
            _PROPERTIES.format(host=LOOPBACK, port=self.port, controller_port=self.controller_port)
        )
        if not (data / "meta.properties").exists():
            self._format()

    def service(self) -> Service:
        """The process to run, after `prepare`."""
        return Service(
            name=NAME,
            argv=self._command(f"-Xms{_HEAP}", f"-Xmx{_HEAP}", "kafka.Kafka", _CONFIGURATION),
            log_file=self.log_file,
            environment=_ENVIRONMENT,
            directory=self.directory,
            is_ready=lambda: answers(self.port),
            ready_deadline_s=_READY_DEADLINE_S,
        )

    def _command(self, *arguments: str) -> tuple[str, ...]:
        newer = ("--enable-native-access=ALL-UNNAMED",) if self.java.version >= _NATIVE_ACCESS_SINCE else ()
        return (
            str(self.java.program),
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-XX:-UsePerfData",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            "-Djava.io.tmpdir=tmp",
            f"-Dlog4j2.configurationFile={_LOGGING.as_uri()}",
            *newer,
            "-cp",
            ":".join(str(jar) for jar in self.jars),
            *arguments,
        )

    def _format(self) -> None:
        random = secrets.token_bytes(16)
        # A letter comes first: the tool takes a dash for an option.
        cluster_id = urlsafe_b64encode(bytes((random[0] & 0x7F, *random[1:]))).decode().rstrip("=")
        tool = ("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", _CONFIGURATION)
        told = subprocess.run(
            self._command("-Xmx256m", *tool),
            cwd=self.directory,
            env={**os.environ, **_ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FORMAT_DEADLINE_S,
            check=False,
        )
        if told.returncode != 0:
            said = "\n".join((told.stdout + told.stderr).splitlines()[-12:])
            raise CountersignError("service.failed", f"formatting {self.directory}:\n{said}")


def answers(port: int) -> bool:
    """Whether the Kafka on this loopback port hands out a producer id (InitProducerId, version 0).

    Raises:
        OSError: nobody listens, or it does not answer in time.
    """
    body = struct.pack(">hhih", _INIT_PRODUCER_ID, 0, 1, -1) + struct.pack(">hi", -1, 1000)
    with socket.create_connection((LOOPBACK, port), timeout=_PROBE_TIMEOUT_S) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        with connection.makefile("rb") as answer:
            size = answer.read(4)
            content = answer.read(struct.unpack(">i", size)[0]) if len(size) == 4 else b""
    # correlation id, throttle time, error code, ...
    return len(content) >= 10 and struct.unpack_from(">h", content, 8) == (0,)
