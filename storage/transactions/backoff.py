"""How long to wait before the next attempt: spread at random, doubled, and shorter the longer one has tried.

The waits of many clients must differ, or they meet again. And who came first should be done first: after half of its
attempts a transaction's bound shrinks again, so that it comes more often than newer ones.
"""

from storage.transactions.settings import TransactionSettings


def wait_ms(settings: TransactionSettings, attempt: int, attempts: int, chance: float) -> float:
    """The wait after so many attempts (1, 2, ...) of so many, with a random number at least 0 and below 1."""
    doublings = min(attempt - 1, max(attempts - attempt, 0), 30)
    bound = min(settings.backoff_ms * 2.0**doublings, settings.backoff_max_ms)
    return bound * (0.25 + 0.75 * chance)
