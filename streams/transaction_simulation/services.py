"""One transaction over two services: each holds its own part, and the phases are driven over both, as
`storage.transactions.services` does it in threads.
"""

from collections.abc import Sequence

from protocol.errors import CountersignError
from storage.transactions.effects import Steps
from storage.transactions.errors import TransactionUnknownError
from storage.transactions.transaction import TransactionCore

BANK_PROGRAMS = ("transfer", "skew", "audit")
SHOP_PROGRAMS = ("tidy", "recolour")
"""What each of the two services does: they never write one record both."""


def commit_services(cores: Sequence[TransactionCore]) -> Steps[None]:
    """Prepare everywhere, validate everywhere, decide once, commit the records everywhere.

    Raises:
        TransactionUnknownError: `resolve` will tell.
        CountersignError: nothing remains.
    """
    try:
        for core in cores:
            core.prepared = True
            yield from core.phases.prepare()
        for core in cores:
            yield from core.phases.validate()
        records = [record for core in cores for record in core.phases.preparation.records]
        if records:
            yield from cores[0].phases.decide(records)
    except TransactionUnknownError:
        raise
    except CountersignError:
        for core in cores:
            yield from core.phases.preparation.rollback_records()
        raise
    for core in cores:
        yield from core.phases.preparation.commit_records()
