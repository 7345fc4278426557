"""A simulated ledger: both parties with their disks, active processes and standbys, replicas, a learner, the
broker, and one clock.

Everything random is drawn from the `random.Random` of the run, so a seed says it all.
"""

import random
from collections.abc import Callable, Iterator
from functools import cache, partial

from auditor.order import OrderMachine
from auditor.validate import ValidateMachine
from learners.learner import LearnerMachine
from learners.recovery import RecoveryMachine
from learners.replica import ReplicaMachine
from ledger.commit import CommitMachine
from ledger.rebuild import RebuildMachine
from ledger.state import initial_cells
from protocol.limits import Limits
from schemas.topics import topic_table
from storage.effects import Halt
from storage.errors import StoreAbsentError
from storage.memory_store import MemoryStore
from storage.ports import StoreCall
from streams.executor import InProcessExecutor
from streams.memory_log import LogFaults, MemoryLog
from streams.simulation.founding import REPLICAS, SALT_SECRET, Founding
from streams.simulation.performer import Signatures, Watcher
from streams.simulation.planted import Bug
from streams.simulation.process import Process, Role, Surroundings
from streams.simulation.site import Site
from streams.simulation.views import MemoryViews

START_MS = 1_700_000_000_000


class World:
    """Everything that is simulated, and how it hangs together.

    Args:
        rng: of the run.
        founding: keys and configuration.
        watcher: sees what parties make lasting or public.
        on_halt: told of machines that will not go on.
        partitions: of `requests`.
        log_faults: what the broker does wrong by itself.
        bug: planted on purpose, if there is to be one.

    Attributes:
        processes: all of them; standbys have a "2" in their name.
        writer: whoever else has a right to write, such as mischief.
    """

    def __init__(
        self,
        rng: random.Random,
        founding: Founding,
        watcher: Watcher,
        on_halt: Callable[[Process, Halt], None],
        *,
        partitions: int,
        log_faults: LogFaults | None,
        bug: Bug | None = None,
    ) -> None:
        self.rng = rng
        self.founding = founding
        self.partitions = partitions
        self.signatures = Signatures()
        topics = {topic.name: topic.partitions for topic in topic_table(partitions, REPLICAS)}
        self.log = MemoryLog(topics, faults=log_faults, message_bytes_max=founding.limits.message_bytes)
        self.log.advance(START_MS)
        window = founding.limits.window_sequences
        self.auditor = Site(
            party="auditor",
            store=founding.auditor_store(),
            key=founding.auditor_key,
            executor=_executor(founding.limits, 1),
            window=window,
        )
        self.ledger = Site(
            party="ledger",
            store=MemoryStore(),
            key=founding.ledger_key,
            executor=_executor(founding.limits, founding.limits.resources_factor),
            window=window,
        )
        for _ in create_ledger_store(self.ledger, founding):
            pass
        self.views = MemoryViews()
        around = Surroundings(
            log=self.log,
            signatures=self.signatures,
            watcher=watcher,
            rng=rng,
            on_halt=on_halt,
            bug=bug,
        )
        roles = self._roles()
        self.processes = [Process(name, role, around) for name, role in roles.items()]

    @property
    def now_ms(self) -> int:
        """The world's time; a process's clock may be off."""
        return self.log.now_ms

    def of_party(self, party: str) -> list[Process]:
        """The processes of a party."""
        return [process for process in self.processes if process.name.startswith(party)]

    def _roles(self) -> dict[str, Role]:
        epochs = self.founding.epochs
        order = partial(
            OrderMachine, epochs=epochs, salt_secret=SALT_SECRET, partitions=self.partitions
        )
        auditor = Role(
            machines={"order": order, "validate": partial(ValidateMachine, epochs=epochs)},
            key=self.auditor.key,
            site=self.auditor,
        )
        ledger = Role(
            machines={"commit": partial(CommitMachine, epochs=epochs)},
            key=self.ledger.key,
            site=self.ledger,
            create_store=lambda: create_ledger_store(self.ledger, self.founding) if is_lost(self.ledger) else None,
            rebuild=partial(RebuildMachine, epochs=epochs),
        )
        replicas = {
            f"replica-{index}": Role(
                machines={"replica": partial(ReplicaMachine, epochs=epochs, index=index)},
                key=key,
                recover=partial(RecoveryMachine, epochs=epochs, index=index),
            )
            for index, key in enumerate(self.founding.replica_keys)
        }
        learner = Role(machines={"learner": partial(LearnerMachine, epochs=epochs)}, views=self.views)
        parties = {"auditor-1": auditor, "auditor-2": auditor, "ledger-1": ledger, "ledger-2": ledger}
        return {**parties, **replicas, "learner": learner}


def is_lost(site: Site) -> bool:
    """Whether a party's store is gone, or made and not filled."""
    try:
        return "head" not in site.store.load().cells
    except StoreAbsentError:
        return True


def create_ledger_store(site: Site, founding: Founding) -> Iterator[None]:
    """Make an empty store the Ledger's, as `deploy.stores` does: two calls, between which a process may die."""
    try:
        store_id = site.store.load().cells["store_id"]
    except StoreAbsentError:
        store_id = len(site.stores_made).to_bytes(32, "big")
        site.stores_made.append(store_id)
        site.store.create(store_id)
    yield
    site.store.apply(
        StoreCall(
            expected_cells={"store_id": store_id, "head": b""},
            writes=founding.records,
            cells=initial_cells(founding.epochs, store_id),
        )
    )


@cache
def _executor(limits: Limits, scale: int) -> InProcessExecutor:
    """Contracts are compiled once per process; a runner keeps nothing else."""
    return InProcessExecutor(limits, scale=scale)
