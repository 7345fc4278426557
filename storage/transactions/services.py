"""Two-phase commit transactions: one transaction over several services, each with its own part of the records.

The *initiator* begins, and a *ticket* of it goes to a service along with each call that does a part of the work,
however those travel. The service *joins* with it and reads and writes through the transaction it gets. In the end the
initiator drives all of them, each phase in parallel: prepare, validate, then the one decision in the coordinator's
table that all services share, then the commit of the records. Services keep no promise that a crash could break: what
a lost service has prepared is settled by whoever reads it.

Tickets are numbered. A service that was started again between two calls of a transaction has forgotten what it was to
write, and must not go on as if the later call were the first: only the first ticket opens a part, and a part that has
not seen as many as were given out is not prepared.

A `Participant` is how the initiator reaches a service: `JoinedTransactions` in the same process, or a stub of any
transport with the same four methods, whose arguments and results are texts and bytes.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Lock
from typing import Protocol

from protocol.errors import CountersignError
from storage.model.errors import InvalidOperationError
from storage.transactions.errors import TransactionConflictError, TransactionMisuseError, TransactionUnknownError
from storage.transactions.layout import Record
from storage.transactions.settings import SECOND_MS, Isolation
from storage.transactions.transaction import TransactionCore
from storage.transactions.transaction_manager import Transaction, TransactionManager
from storage.transactions.value_text import dump_records, load_records

_JOINED_MAX = 10_000
_NUMBER = ":"
_TICKET = re.compile(r"([0-9a-f]{32}):([0-9]{1,6})", re.ASCII)


class Participant(Protocol):
    """A service's part of transactions, as their initiators see it. Every method may be called again."""

    def prepare(self, transaction_id: str, calls: int) -> bytes:
        """Prepare what the service will write, in so many calls; return the packed keys of those records.

        Raises:
            CountersignError: it cannot be done, or the service does not know the transaction, or not all its calls.
        """
        ...

    def validate(self, transaction_id: str) -> None:
        """Check what the service has read, once all have prepared.

        Raises:
            CountersignError: it does not hold any more.
        """
        ...

    def commit(self, transaction_id: str) -> None:
        """Bring the records forward, once it is decided, and forget the transaction."""
        ...

    def rollback(self, transaction_id: str) -> None:
        """Bring the records back and forget the transaction; one that is not known does no harm."""
        ...


class _Part:
    """A service's part of one transaction.

    Attributes:
        transaction: what the service works through.
        lock: held by the phase that is at work.
        packed: the keys of what was prepared; None: it is not prepared, or not all of it.
        failure: why it could not be prepared; who asks again gets the same answer.
        seen: the numbers of the tickets that it was joined with.
        joined_s: when that was the last time.
    """

    __slots__ = ("failure", "joined_s", "lock", "packed", "seen", "transaction")

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.lock = Lock()
        self.packed: bytes | None = None
        self.failure: Exception | None = None
        self.seen: set[int] = set()
        self.joined_s = 0.0


class JoinedTransactions:
    """One service's transactions of others, by id.

    Args:
        manager: over the service's stores, with the coordinator that all services share.
    """

    def __init__(self, manager: TransactionManager) -> None:
        self._manager = manager
        self._joined: dict[str, _Part] = {}
        self._lock = Lock()

    def join(self, ticket: str, isolation: Isolation | None = None) -> Transaction:
        """The service's part of the transaction that a ticket is of: a new one with the first, then the same.

        Raises:
            InvalidOperationError: it is no ticket.
            CountersignError: `transaction.participant`: the service does not know the transaction, or not any more.
            TransactionMisuseError: `transaction.too_large`: there are too many of them.
        """
        transaction_id, number = _read_ticket(ticket)
        with self._lock:
            part = self._joined.pop(transaction_id, None)
            if part is None:
                if number > 0:
                    raise _not_known(transaction_id)
                part = self._new(transaction_id, isolation)
            self._joined[transaction_id] = part  # behind the others
            part.seen.add(number)
            part.joined_s = time.monotonic()
            return part.transaction

    def prepare(self, transaction_id: str, calls: int) -> bytes:
        """See `Participant.prepare`."""
        part = self._known(transaction_id)
        core = part.transaction.core
        with part.lock:
            if len(part.seen) != calls:
                raise CountersignError(
                    "transaction.participant", f"{transaction_id}: {len(part.seen)} of {calls} calls are known here"
                )
            if part.failure is not None:
                raise part.failure
            if core.ended:
                raise TransactionMisuseError("transaction.ended", transaction_id)
            if part.packed is None:
                core.prepared = True
                try:
                    self._manager.driver.run(core.phases.prepare())
                except Exception as error:
                    part.failure = error
                    raise
                part.packed = dump_records(core.phases.preparation.records)
            return part.packed

    def validate(self, transaction_id: str) -> None:
        """See `Participant.validate`."""
        part = self._known(transaction_id)
        with part.lock:
            if part.packed is None:
                raise TransactionMisuseError("transaction.phase", f"{transaction_id} is not prepared")
            self._manager.driver.run(part.transaction.core.phases.validate())

    def commit(self, transaction_id: str) -> None:
        """See `Participant.commit`."""
        with self._ending(transaction_id) as core:
            if core is not None:
                self._manager.driver.run(core.phases.preparation.commit_records())

    def rollback(self, transaction_id: str) -> None:
        """See `Participant.rollback`."""
        with self._ending(transaction_id) as core:
            if core is not None:
                self._manager.driver.run(core.phases.preparation.rollback_records())

    @contextmanager
    def _ending(self, transaction_id: str) -> Iterator[TransactionCore | None]:
        """Forget a transaction, and do what ends it once no other phase is at work; None: it is not known."""
        with self._lock:
            part = self._joined.pop(transaction_id, None)
        if part is None:
            yield None
            return
        with part.lock:
            part.transaction.core.ended = True
            yield part.transaction.core

    def _known(self, transaction_id: str) -> _Part:
        with self._lock:
            known = self._joined.get(transaction_id)
        if known is None:
            raise _not_known(transaction_id)
        return known

    def _new(self, transaction_id: str, isolation: Isolation | None) -> _Part:
        if len(self._joined) >= _JOINED_MAX:
            self._forget_idle()
        manager = self._manager
        core = TransactionCore(manager.world, transaction_id, isolation or manager.settings.isolation)
        return _Part(Transaction(core, manager.driver, manager.hot))

    def _forget_idle(self) -> None:
        """Forget what nobody has called for since long: its initiator is gone, or will be told that it is not known.

        What it has prepared is settled by whoever reads it.
        """
        settings = self._manager.settings
        since_s = time.monotonic() - (settings.lease_ms + settings.read_wait_ms) / SECOND_MS
        for transaction_id, part in list(self._joined.items()):
            if part.joined_s >= since_s:
                break
            del self._joined[transaction_id]
        if len(self._joined) >= _JOINED_MAX:
            raise TransactionMisuseError("transaction.too_large", f"{len(self._joined)} joined transactions")


_Step = Callable[[Participant, int], bytes | None]
"""What is done with each participant, which was called so many times."""


class ServicesTransaction:
    """The initiator's side of one transaction.

    Args:
        manager: the initiator's own, over the shared coordinator.
        participants: how to reach each service, by its name; the initiator's own `JoinedTransactions`, too.
        isolation: the level; every service must join with the same.
    """

    def __init__(
        self,
        manager: TransactionManager,
        participants: Mapping[str, Participant],
        isolation: Isolation | None = None,
    ) -> None:
        self._manager = manager
        self._participants = participants
        self._transaction = manager.begin(isolation)
        self._calls = dict.fromkeys(participants, 0)
        self._ended = False

    @property
    def id(self) -> str:
        """What `TransactionManager.resolve` wants."""
        return self._transaction.id

    def ticket(self, service: str) -> str:
        """What goes along with one call of a service, which joins with it; the same again if the call is sent again.

        The first call of a service must be answered before there is a second.

        Raises:
            TransactionMisuseError: `transaction.ended`; `transaction.phase`: it is no participant.
        """
        if self._ended:
            raise TransactionMisuseError("transaction.ended", self.id)
        if service not in self._calls:
            raise TransactionMisuseError("transaction.phase", f"{service} takes no part in {self.id}")
        number = self._calls[service]
        self._calls[service] = number + 1
        return f"{self.id}{_NUMBER}{number}"

    def commit(self) -> None:
        """Drive all services through every phase; afterwards all have committed, or none has.

        Raises:
            TransactionConflictError: nothing remains; run the transaction again from its beginning.
            TransactionUnknownError: the coordinator's store went away at the wrong moment; `resolve` will tell.
            CountersignError: a service could not do its part; nothing remains.
        """
        if self._ended:
            raise TransactionMisuseError("transaction.ended", self.id)
        self._ended = True
        try:
            packed = self._all(lambda participant, calls: participant.prepare(self.id, calls))
            records = [record for some in packed for record in _records(some)]
            self._all(lambda participant, _: participant.validate(self.id))
        except Exception as error:  # whatever a stub's transport raises: nothing is decided yet
            self._give_up(error)
            raise
        try:
            if records:
                self._manager.driver.run(self._transaction.core.phases.decide(records))
        except TransactionUnknownError:
            raise
        except CountersignError as error:
            self._give_up(error)
            raise
        self._quietly(lambda participant, _: participant.commit(self.id))

    def rollback(self) -> None:
        """Give up, everywhere."""
        self._ended = True
        self._quietly(lambda participant, _: participant.rollback(self.id))

    def _give_up(self, error: Exception) -> None:
        self._quietly(lambda participant, _: participant.rollback(self.id))
        if isinstance(error, TransactionConflictError):
            self._manager.hot.heat(error.records)

    def _all(self, step: _Step) -> list[bytes | None]:
        """Do a step everywhere at once, wait for all, then raise the first error."""
        futures = self._start(step)
        errors = [future.exception() for future in futures]
        for error in errors:
            if error is not None:
                raise error
        return [future.result() for future in futures]

    def _quietly(self, step: _Step) -> None:
        """Do a step wherever it can be done; what a service does not hear is settled by whoever reads its records.

        Whatever it raises: the outcome is decided, and an error would say that it is another.
        """
        for future in self._start(step):
            future.exception()

    def _start(self, step: _Step) -> list[Future[bytes | None]]:
        submit = self._manager.services_pool.submit
        return [submit(step, participant, self._calls[name]) for name, participant in self._participants.items()]


def _read_ticket(ticket: str) -> tuple[str, int]:
    """The transaction and the number of a ticket."""
    read = _TICKET.fullmatch(ticket)
    if read is None:
        raise InvalidOperationError("value.out_of_range", f"{ticket[:40]!r} is no ticket of a transaction")
    return read[1], int(read[2])


def _not_known(transaction_id: str) -> CountersignError:
    return CountersignError("transaction.participant", f"{transaction_id} is not known here")


def _records(packed: object) -> list[Record]:
    """The records that a service says it has prepared.

    Raises:
        CountersignError: `transaction.participant`: that is not what it says.
    """
    try:
        if not isinstance(packed, bytes):
            raise TypeError(type(packed).__name__)
        return load_records(packed)
    except (ArithmeticError, AttributeError, RecursionError, TypeError, ValueError) as error:
        raise CountersignError("transaction.participant", "its answer to `prepare` cannot be read") from error
