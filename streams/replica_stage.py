"""A replica's process: follows the decisions and disperses its pieces, once it has recovered what it lacks.

Before it follows, and again whenever `decisions` turns out not to show what it needs next, it learns from the
other replicas what they can give (`learners.recovery`).
"""

from collections.abc import Callable
from contextlib import closing
from functools import partial

from learners.dispersal import Encoder
from learners.recovery import RECOVERED, RecoveryMachine
from learners.replica import BEHIND, ReplicaMachine
from protocol.errors import CountersignError
from storage.effects import Halt
from storage.machine import Machine
from streams.learner_process import FollowerProcess

_RECOVERY_ENDS = frozenset({RECOVERED})
_DISPERSAL_ENDS = frozenset({BEHIND, "log.start_lost"})
"""What a replica goes on after: what it cannot follow, it recovers."""


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

    epochs = process.epochs

    def run(name: str, make_machine: Callable[[], Machine], ends: frozenset[str]) -> Halt | None:
        with closing(process.stage(name, make_machine, ends)) as stage:
            return stage.run()

    halt: Halt | None = None
    while True:
        cut_off, hinted = halt is not None and halt.code == BEHIND, halt is None
        recover = partial(RecoveryMachine, epochs=epochs, index=index, cut_off=cut_off)
        halt = run("recover", recover, _RECOVERY_ENDS)
        if halt is None or halt.code not in _RECOVERY_ENDS:
            return halt
        disperse = partial(ReplicaMachine, epochs=epochs, index=index, encoder=encoder, hinted=hinted)
        halt = run("replica", disperse, _DISPERSAL_ENDS)
        if halt is None or halt.code not in _DISPERSAL_ENDS:
            return halt
