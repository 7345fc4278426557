"""A ledger in memory whose two parties decide batches of transfers: real decisions, and keys for any replicas."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from protocol.canonical_json import dumps
from protocol.configuration import Epochs, check_epochs
from protocol.limits import Limits
from protocol.requests import gather_requests
from protocol.signatures import configuration_input
from protocol.signing import SigningKey
from schemas.epoch import SignedConfiguration
from schemas.request import RecordName, RequestBody
from schemas.topics import DECISIONS, REQUESTS
from storage.effects import Halt, Message, Outgoing
from storage.ports import Place, StoreCall
from streams.simulation.founding import ADMIN, Founding, found, key_of
from streams.simulation.process import Process
from streams.simulation.site import PartyName
from streams.simulation.world import World

_ACCOUNTS = 100
_BALANCE = 1_000_000
_STEPS_MAX = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Replicas and blocks of one ledger.

    Attributes:
        n: replicas. b: of these, may lie. c: may be silent.
        checksum: that binds blocks.
        block_updates: updates in a block.
    """

    n: int
    b: int
    c: int
    checksum: str
    block_updates: int

    @property
    def k(self) -> int:
        """Pieces that suffice."""
        return self.n - self.b - self.c


class _NobodyWatches:
    """The port `Watcher`."""

    def applied(self, party: PartyName, call: StoreCall) -> None:
        """See `Watcher`."""

    def noted(self, party: PartyName, places: Sequence[Place]) -> None:
        """See `Watcher`."""

    def published(self, who: str, messages: Sequence[Outgoing]) -> None:
        """See `Watcher`."""


def replica_key(index: int) -> SigningKey:
    """The key of a replica, of any number."""
    return _replica_key(index)


@cache
def _replica_key(index: int) -> SigningKey:
    return key_of(f"replica {index}")


def epochs_of(sizes: Sizes, requests: int = 1) -> Epochs:
    """The ledger that `decisions_of` decides, with these replicas."""
    founding = _founding(requests)
    configuration = replace(
        founding.epochs.latest,
        n=sizes.n,
        b=sizes.b,
        c=sizes.c,
        k=sizes.k,
        checksum=sizes.checksum,
        block_updates=sizes.block_updates,
        replica_keys=tuple(replica_key(index).public_key for index in range(sizes.n)),
    ).to_bytes()
    identity = founding.epochs.ledger_id
    signed = SignedConfiguration(
        configuration=configuration,
        auditor_signature=founding.auditor_key.sign(configuration_input("auditor", identity, 0, configuration)),
        ledger_signature=founding.ledger_key.sign(configuration_input("ledger", identity, 0, configuration)),
        previous_auditor_signature=None,
        previous_ledger_signature=None,
    ).to_bytes()
    return check_epochs(identity, founding.epochs.genesis_bytes, (signed,))


def _founding(requests: int) -> Founding:
    return found(replace(Limits(), batch_requests=requests))


def decisions_of(decisions: int, requests: int) -> tuple[Message, ...]:
    """So many decisions of so many requests each: accounts are opened, then money is transferred.

    They are made by the parties' own machines, with real keys, contracts and records.
    """
    founding = _founding(requests)
    world = World(
        random.Random(1), founding, _NobodyWatches(), _must_not_halt, partitions=1, log_faults=None
    )
    _send_requests(world, decisions * requests)
    parties = [process for process in world.processes if process.name in ("auditor-1", "ledger-1")]
    for _ in range(_STEPS_MAX):
        decided = world.log.messages(DECISIONS)
        if len(decided) >= decisions:
            return decided[:decisions]
        moved = [process.move() for process in parties if not process.actors]
        for process in parties:
            moved += [process.move_actor(actor) for actor in process.actors]
        if not any(moved):
            world.log.advance(world.now_ms + 1)
    raise AssertionError(f"{decisions} decisions are not made in {_STEPS_MAX} steps")


def _must_not_halt(process: Process, halt: Halt) -> None:
    raise AssertionError(f"{process.name}: {halt}")


def _send_requests(world: World, count: int) -> None:
    """Send requests of one client, all signed together as far as that may be."""
    limits = world.founding.limits
    bodies = [_body(world, number, call) for number, call in zip(range(count), _calls(), strict=False)]
    key = world.founding.entities[ADMIN]
    for first in range(0, count, limits.batch_requests):
        unsigned = gather_requests(world.founding.epochs.ledger_id, bodies[first : first + limits.batch_requests])
        for envelope in unsigned.envelopes(key.sign(unsigned.signed)):
            world.log.insert(Outgoing(REQUESTS, 0, ADMIN.encode(), envelope.to_message()))


def _calls() -> Iterator[tuple[str, dict[str, object], tuple[str, ...]]]:
    """Contract, argument and accounts of one request after the other."""
    for number in range(_ACCOUNTS):
        account = f"account/{number:06d}"
        yield "account.open", {"account": account, "balance": _BALANCE}, (account,)
    rng = random.Random(2)
    while True:
        source, target = (f"account/{number:06d}" for number in rng.sample(range(_ACCOUNTS), 2))
        yield "transfer", {"from": source, "to": target, "amount": 1}, (source, target)


def _body(world: World, number: int, call: tuple[str, dict[str, object], tuple[str, ...]]) -> bytes:
    contract, argument, accounts = call
    return RequestBody(
        format=1,
        ledger_id=world.founding.epochs.ledger_id,
        entity=ADMIN,
        key_version=1,
        nonce=number.to_bytes(16, "big"),
        contract=contract,
        contract_version=1,
        argument=dumps(argument),
        not_before_ms=0,
        expiry_ms=world.now_ms + world.founding.limits.expiry_default_ms,
        after=-1,
        keys=tuple(RecordName("bank", account) for account in accounts),
    ).to_bytes()
