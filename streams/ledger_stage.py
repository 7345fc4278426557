"""The Ledger's process: its committing machine, and before it the rebuilding one where the store was lost."""

import logging
from collections.abc import Callable
from contextlib import closing
from functools import partial

from ledger.commit import CommitMachine
from ledger.rebuild import REBUILT, RebuildMachine
from storage.effects import Halt, ReadJournal
from storage.errors import StoreAbsentError
from streams.clock import now_ms
from streams.journal_reader import JournalReader
from streams.learner_process import open_reader
from streams.party_process import PartyProcess
from streams.stage import run_stages

_log = logging.getLogger("countersign.stage")


def run_ledger(process: PartyProcess, create_store: Callable[[], None]) -> Halt | None:
    """Commit until told to stop (None) or until the machine halts.

    Args:
        process: of the active Ledger.
        create_store: makes an empty store the Ledger's, with the genesis in it.
    """
    if _is_lost(process):
        _log.info("the store is empty: it is made anew from all that is decided")
        create_store()
    # Whatever is decided above the store's head belongs into it: nothing, unless the store was lost or rolled
    # back.
    pieces = open_reader(process.configuration, process.epochs)
    journal = JournalReader(process.epochs, pieces, process.pool, now_ms, process.stop)
    with closing(pieces):
        make = partial(RebuildMachine, epochs=process.epochs)
        rebuilt = process.stage("rebuild", make, {ReadJournal: journal.read}, frozenset({REBUILT})).run()
    if rebuilt is None or rebuilt.code != REBUILT:
        return rebuilt
    commit = process.stage("commit", lambda: CommitMachine(epochs=process.epochs))
    return run_stages([commit], process.stop)


def _is_lost(process: PartyProcess) -> bool:
    """Whether there is no store, or one that was made and not filled."""
    try:
        return "head" not in process.party.store.load().cells
    except StoreAbsentError:
        return True
