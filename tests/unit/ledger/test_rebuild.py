"""A lost store of the Ledger is made anew from decisions, and from pieces where decisions were shortened."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from deploy.stores import create_ledger_store
from ledger.learned_updates import LearnedUpdateError, check_updates
from ledger.rebuild import REBUILT, RebuildMachine
from ledger.state import NOWHERE, CommitState
from protocol.journal import Head
from protocol.records import Record, RecordKey
from schemas.statement import Update
from schemas.topics import DECISIONS, EVIDENCE, LEARNED, pieces_topic
from storage.effects import Event, Halt, JournalRead, ReadJournal
from storage.memory_guard import MemoryGuard, MemoryGuardDisk
from storage.memory_store import MemoryStore
from storage.ports import Version
from streams import journal_reader
from streams.cell_watch import CellWatch
from streams.journal_reader import JournalReader
from streams.metrics import StageMeter
from streams.performer import Party, Ports
from streams.signature_pool import SignaturePool
from streams.stage import Stage
from streams.stop_signal import StopSignal
from tests.parties import key_of
from tests.unit.learners.cluster import Cluster, Corrupting
from tests.unit.streams.stage_world import NoExecutor

Give = Callable[[ReadJournal], JournalRead]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory gives what it has at once."""
    monkeypatch.setattr(journal_reader, "_QUIET_RECEIVES", 1)


class Rebuild:
    """A Ledger's rebuilding stage with the learner beside it, in memory."""

    def __init__(self, cluster: Cluster, bend: Callable[[JournalRead], JournalRead] = lambda read: read) -> None:
        self.cluster = cluster
        self.store = MemoryStore()
        self.stop = StopSignal(drain_s=0.2)
        self.asked: list[int] = []
        self._bend = bend
        self.halt: Halt | None = None
        self._now_ms = 0
        self._pool = SignaturePool(1)
        create_ledger_store(self.store, cluster.epochs)

    def _clock(self) -> int:
        self._now_ms += 1
        return self._now_ms

    @property
    def said(self) -> str:
        """What the last run ended with."""
        assert self.halt is not None
        return self.halt.text

    def run(self) -> Halt | None:
        guard = MemoryGuard(MemoryGuardDisk(window=64))
        guard.acquire(wait=False)
        log, epochs = self.cluster.log, self.cluster.epochs
        journal = JournalReader(epochs, log.reader(), self._pool, self._clock, self.stop)

        def read(effect: ReadJournal) -> JournalRead:
            self.asked.append(effect.sequence)
            return self._bend(journal.read(effect))

        more: Mapping[type, Callable[[Any], Event]] = {ReadJournal: read}
        party = Party(store=self.store, guard=guard, executor=NoExecutor(), watch=CellWatch())
        ports = Ports(
            reader=log.reader(),
            writer=log.writer(),
            pool=self._pool,
            now_ms=self._clock,
            stop=self.stop,
            signing_key=key_of("ledger"),
            party=party,
            more=more,
        )
        self.halt = Stage(lambda: RebuildMachine(epochs=epochs), ports, StageMeter("rebuild")).run()
        return self.halt

    @property
    def state(self) -> CommitState:
        return CommitState.from_cells(self.store.load().cells)

    def versions(self) -> dict[Version, Record]:
        """Every version of the records that the world writes, bit for bit."""
        wanted = [
            Version(RecordKey("object", f"key {key}/{index}"), version)
            for key in range(3)
            for index in range(2)
            for version in range(1, 20)
        ]
        return dict(self.store.fetch(versions=wanted).versions)


def decided(count: int = 14, n: int = 4, b: int = 1, **changes: Any) -> Cluster:
    """A ledger whose blocks are dispersed."""
    cluster = Cluster(n, b, **changes)
    cluster.decide(count, requests=2)
    cluster.disperse()
    return cluster


def rebuilt(cluster: Cluster) -> Rebuild:
    rebuild = Rebuild(cluster)
    halt = rebuild.run()
    assert halt is not None
    assert halt.code == REBUILT, halt
    return rebuild


def expected(cluster: Cluster) -> Rebuild:
    """From all decisions, as long as they are there."""
    found = rebuilt(cluster)
    assert found.asked == []
    return found


@pytest.mark.parametrize("checksum", ["tree", "simple"])
@pytest.mark.parametrize("first", [1, 4, 7, 11, 12])
def test_what_decisions_no_longer_have_comes_from_pieces(first: int, checksum: str) -> None:
    """Records, versions, replay guard, head and frontier are those of a rebuild from all decisions."""
    cluster = decided(checksum=checksum)
    whole = expected(cluster)
    cluster.log.expire(DECISIONS, 0, first)
    found = rebuilt(cluster)
    assert found.asked
    assert found.versions() == whole.versions() != {}
    assert replace(found.state, store_id=b"") == replace(whole.state, store_id=b"")
    pieces = 4 * -(-first // 4)  # whole blocks
    of_them = f"{pieces} of them from the replicas' pieces"
    assert found.said == f"14 batches are back in the store, {of_them}, up to sequence 13"
    assert found.store.load().replay_entries == whole.store.load().replay_entries == 28


def test_all_decisions_may_be_gone() -> None:
    """Then the whole blocks of the replicas are what there is."""
    cluster = decided(12)
    whole = expected(cluster)
    cluster.log.expire(DECISIONS, 0, 12)
    found = rebuilt(cluster)
    assert found.versions() == whole.versions()
    assert found.state.head == whole.state.head
    assert found.state.verified == 11
    assert found.state.decisions == NOWHERE, "the committing machine begins where the log does, wherever that is"


def test_a_liar_among_the_replicas_changes_nothing() -> None:
    """Its pieces are not taken, and the rest is enough."""
    cluster = Cluster()
    cluster.decide(12, requests=2)
    cluster.replica(0, Corrupting(3, 4, 0))
    cluster.disperse(1, 2, 3)
    whole = expected(cluster)
    cluster.log.expire(DECISIONS, 0, 9)
    assert rebuilt(cluster).versions() == whole.versions()


def test_a_store_that_has_it_passes_over_what_is_gone() -> None:
    """It stands behind the start of the log: nobody is asked, and it reads on where the log begins."""
    cluster = decided(8)
    rebuild = expected(cluster)
    cluster.decide(3)
    cluster.log.expire(DECISIONS, 0, 8)
    halt = rebuild.run()
    assert halt is not None
    assert (halt.code, rebuild.asked, rebuild.state.sequence) == (REBUILT, [], 10)


def test_a_position_before_the_start_of_the_log_is_moved() -> None:
    """What was sent again meanwhile, and deleted, must not keep the committing machine from reading on."""
    cluster = decided(4)
    rebuild = expected(cluster)
    for message in cluster.log.messages(DECISIONS):
        cluster.publish(message.value or b"")
    cluster.log.expire(DECISIONS, 0, 6)
    halt = rebuild.run()
    assert halt is not None
    assert (halt.code, rebuild.state.sequence) == (REBUILT, 3)
    assert rebuild.state.decisions[0] >= 6


def test_a_new_ledger_asks_the_replicas_once() -> None:
    """They have nothing, and nothing is waited for."""
    found = rebuilt(Cluster())
    assert (found.asked, found.state.sequence, found.said) == ([0], -1, "nothing is decided yet")


def test_where_nobody_has_it_the_ledger_waits() -> None:
    """Until the replicas come with their pieces; nothing is left out meanwhile."""
    cluster = Cluster()
    cluster.decide(8, requests=2)
    whole = expected(cluster)
    cluster.disperse(0, 1)
    decisions = [message.value or b"" for message in cluster.log.messages(DECISIONS)]
    other = Cluster()
    for value in decisions:
        other.publish(value)
    other.disperse(2)
    late = [message.value or b"" for message in other.log.messages(pieces_topic(2))]
    cluster.log.expire(DECISIONS, 0, 6)
    rebuild = Rebuild(cluster)

    def bend(read: JournalRead) -> JournalRead:
        if len(rebuild.asked) == 2:  # it has asked in vain, and asks again
            assert rebuild.state.sequence == -1
            for value in late:
                cluster.publish(value, pieces_topic(2))
        return read

    rebuild._bend = bend
    halt = rebuild.run()
    assert halt is not None
    assert halt.code == REBUILT
    assert len(rebuild.asked) >= 3
    assert rebuild.versions() == whole.versions()


def test_whoever_is_overtaken_while_it_reads_pieces_loads_again() -> None:
    """Another process has stored the same updates meanwhile: it goes on behind them."""
    cluster = decided(8)
    whole = expected(cluster)
    cluster.log.expire(DECISIONS, 0, 6)
    rebuild = Rebuild(cluster)

    def overtake(read: JournalRead) -> JournalRead:
        if len(rebuild.asked) == 1:
            twin = Rebuild(cluster)
            twin.store = rebuild.store
            halt = twin.run()
            assert halt is not None
            assert halt.code == REBUILT
        return read

    rebuild._bend = overtake
    halt = rebuild.run()
    assert halt is not None
    assert (halt.code, halt.text) == (REBUILT, "the store lacks nothing up to sequence 7")
    assert rebuild.versions() == whole.versions()


# --- No check is lost ---


def altered(read: JournalRead, **changes: Any) -> JournalRead:
    """The third update changed."""
    updates = list(read.updates)
    updates[2] = replace(Update.from_bytes(updates[2]), **changes).to_bytes()
    return replace(read, updates=tuple(updates))


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


ALTERATIONS: dict[str, Callable[[JournalRead, Update], JournalRead]] = {
    "another outcome": lambda read, update: altered(read, outcomes=(flipped(update.outcomes[0]), *update.outcomes[1:])),
    "an outcome less": lambda read, update: altered(read, outcomes=update.outcomes[1:]),
    "another entry": lambda read, update: altered(read, entries=(flipped(update.entries[0]), *update.entries[1:])),
    "no entries": lambda read, update: altered(read, entries=()),
    "a value less": lambda read, update: altered(read, values=update.values[1:]),
    "another salt": lambda read, update: altered(read, salt=flipped(update.salt)),
    "another statement": lambda read, update: altered(read, statement=flipped(update.statement)),
    "an update less": lambda read, update: replace(read, updates=read.updates[:2] + read.updates[3:]),
    "the last less": lambda read, update: replace(read, updates=read.updates[:3]),
    "turned round": lambda read, update: replace(read, updates=read.updates[::-1]),
    "nothing": lambda read, update: replace(read, updates=()),
    "rubbish": lambda read, update: replace(read, updates=(b"rubbish",)),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_whatever_the_learner_beside_it_alters_is_refused(name: str) -> None:
    """The Ledger halts, accuses nobody, and nothing of that block is in its store."""
    cluster = decided(8)
    cluster.log.expire(DECISIONS, 0, 7)

    def bend(read: JournalRead) -> JournalRead:
        return ALTERATIONS[name](read, Update.from_bytes(read.updates[2]))

    rebuild = Rebuild(cluster, bend)
    halt = rebuild.run()
    assert halt is not None
    assert halt.code == "store.contradicts_log", halt
    assert rebuild.state.sequence < 3
    assert not cluster.log.messages(EVIDENCE)
    assert not cluster.log.messages(LEARNED)


def test_another_value_than_the_signed_one_is_damage() -> None:
    """Its hash is in the outcome, and it is computed again, as with decisions."""
    cluster = decided(8)
    cluster.log.expire(DECISIONS, 0, 7)
    rebuild = Rebuild(cluster, lambda read: altered(read, values=(b'"altered"', b'"altered"')))
    halt = rebuild.run()
    assert halt is not None
    assert halt.code == "store.damaged"
    assert rebuild.state.sequence < 3


@pytest.mark.parametrize("part", ["order_signature", "ledger_signature", "auditor_signature"])
def test_the_last_statement_must_bear_every_signature(part: str) -> None:
    """The Ledger's own above all: a history that it has not signed is not its history."""
    cluster = decided(8)
    cluster.log.expire(DECISIONS, 0, 7)

    def bend(read: JournalRead) -> JournalRead:
        assert read.last is not None
        return replace(read, last=read.last._replace(**{part: flipped(getattr(read.last, part))}))

    rebuild = Rebuild(cluster, bend)
    halt = rebuild.run()
    assert halt is not None
    assert halt.code == "store.contradicts_log"
    assert "not signed" in halt.text
    assert rebuild.state.sequence == -1


def test_updates_that_the_ledger_has_are_left_out() -> None:
    """A block reaches below the head: only what is above is new, and it must lead to the same end."""
    cluster = decided(8)
    updates = [cluster.world.updates[sequence].to_bytes() for sequence in range(8)]
    head = Head.start()
    for sequence in range(6):
        head = head.advance(cluster.world.updates[sequence].statement)
    found, end = check_updates(head, updates[4:], cluster.last(1), cluster.epochs)
    assert [each.checked.statement.sequence for each in found] == [6, 7]
    assert end.statement.sequence == 7
    with pytest.raises(LearnedUpdateError, match="do not lead"):
        check_updates(head, updates[4:], cluster.last(0), cluster.epochs)
