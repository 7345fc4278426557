"""Whether the Auditor was right to reject a request."""

from protocol.hashing import ZERO_HASH
from protocol.records import RecordKey
from schemas.rejection import RejectionEntry
from streams.simulation.checks import Checker
from streams.simulation.clients import Asked, Book
from streams.simulation.twin import require
from streams.simulation.world import World


def check_rejection(
    entry: RejectionEntry, as_of_sequence: int, book: Book, checker: Checker, world: World
) -> None:
    """Check one rejection against what its client did.

    Args:
        entry: of an authentic request, or of an envelope that nobody answers for.
        as_of_sequence: the last sequence ordered, the batch of the rejection included.

    Raises:
        Violation: it was wrong.
    """
    if entry.request_id == ZERO_HASH:
        return
    asked = book.asked.get(entry.request_id)
    require(asked is not None, "a request was rejected that nobody made")
    assert asked is not None
    require(asked.authentic, "a forged request is rejected by its request_id")
    text = f"{asked.ask.contract} {entry.request_id.hex()[:8]} was wrongly rejected as {entry.code}"
    require(entry.code in asked.ask.codes or _is_right(entry.code, asked, as_of_sequence, checker, world), text)


def _is_right(code: str, asked: Asked, as_of_sequence: int, checker: Checker, world: World) -> bool:
    body = asked.body
    clocks = [process.now_ms() for process in world.processes]
    match code:
        case "request.expired" | "request.forgotten":
            return body.expiry_ms < max(*clocks, checker.ordered_at_ms)
        case "request.not_yet_valid":
            return body.not_before_ms > 0  # whoever judged may have been paused since
        case "request.too_far_ahead":
            return body.expiry_ms > min(clocks) + world.founding.limits.expiry_ahead_ms
        case "request.after_unknown":
            return body.after >= as_of_sequence
        case "entity.key_revoked":
            key = RecordKey("sys", f"entity/{body.entity}/key/{body.key_version}")
            return b'"revoked"' in (checker.twin.current(key).value or b"")
        case _:
            return False
