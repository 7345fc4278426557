"""A replica's process: follows the decisions and disperses its pieces."""

from learners.dispersal import Encoder
from learners.replica import ReplicaMachine
from protocol.errors import CountersignError
from storage.effects import Halt
from streams.learner_process import FollowerProcess
from streams.stage import run_stages


def run_replica(process: FollowerProcess, index: int, encoder: Encoder | None = None) -> Halt | None:
    """Disperse until told to stop (None) or until the machine halts.

    Args:
        process: of this replica.
        index: which replica this is, from 0.
        encoder: another one than configured, only for a replica that is to lie in a demonstration.

    Raises:
        CountersignError: `config.invalid`, the key is not this replica's in the epoch.
    """
    keys = process.epochs.latest.replica_keys
    if process.key is None or not 0 <= index < len(keys) or process.key.public_key != keys[index]:
        raise CountersignError("config.invalid", f"the key is not the one of replica {index} in the epoch")

    def make() -> ReplicaMachine:
        return ReplicaMachine(epochs=process.epochs, index=index, encoder=encoder)

    return run_stages([process.stage("replica", make)], process.stop)
