"""A replica's process; its number is the end of its directory's name."""

import logging
import sys

from deploy.initialize import KEY_FILE
from deploy.roles.entry import RoleStatus, run_role
from learners.dispersal import Encoder
from protocol.configuration import Epochs
from protocol.errors import CountersignError
from schemas.topics import pieces_topic, topic_table
from storage.effects import Halt
from streams.kafka_admin import KafkaAdmin
from streams.learner_process import open_follower
from streams.log import LogUnavailableError
from streams.replica_places import check_places
from streams.replica_stage import run_replica
from streams.role_directory import RoleConfiguration, load_key
from streams.stage import StopSignal

_PAUSE_S = 2.0

_log = logging.getLogger("countersign")


def run(
    configuration: RoleConfiguration, stop: StopSignal, status: RoleStatus, encoder: Encoder | None = None
) -> Halt | None:
    """Disperse until told to stop."""
    name = configuration.directory.name
    number = name.removeprefix("replica-")
    if not number.isdecimal():
        raise CountersignError("config.invalid", f"{configuration.directory} is not named replica-N, with its number")
    index = int(number)
    key = load_key(configuration.path(KEY_FILE))
    with open_follower(name, configuration, stop, key) as process:
        status.write("active")
        if not _make_own_topic(configuration, process.epochs, index, stop):
            return None
        return run_replica(process, index, encoder)


def _make_own_topic(configuration: RoleConfiguration, epochs: Epochs, index: int, stop: StopSignal) -> bool:
    """Make the topic of a replica that has a broker of its own, once that answers; False if told to stop before.

    On the ledger's cluster topics are made by whoever runs that.
    """
    place = configuration.places().get(index)
    if place is None or not place.is_elsewhere:
        return True
    check_places({index: place}, epochs)
    own = [topic for topic in topic_table(1, epochs.latest.n) if topic.name == pieces_topic(index)]
    while True:
        try:
            KafkaAdmin(place.connection(configuration.connection())).create_topics(own)
            return True
        except LogUnavailableError as error:
            _log.warning("%s; waiting for it", error)
        if stop.wait(_PAUSE_S):
            return False


if __name__ == "__main__":
    sys.exit(run_role(run))
