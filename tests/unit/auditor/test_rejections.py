"""Who is bound by a rejection, what the replay guard keeps of it, and how many are signed for nobody."""

import pytest

from auditor.rejections import (
    FINALLY_REJECTED,
    RejectionList,
    UnauthenticatedAllowance,
    is_final,
    rejections_header,
    unsigned_rejections,
)
from protocol import merkle
from protocol.errors import ERRORS
from protocol.hashing import ZERO_HASH, tagged
from protocol.limits import Limits
from schemas.rejection import RejectionEntry, Rejections, RejectionsHeader
from storage.ports import ReplayEntry
from tests.worlds import World


@pytest.mark.parametrize("code", ["contract.resources", "contract.unknown", "entity.key_revoked"])
def test_a_final_rejection_is_kept_until_the_request_expires(code: str) -> None:
    """Nobody can have it decided later: that would be evidence against the Auditor."""
    request = World().put("a", 1)
    rejections = RejectionList()
    rejections.add(request, code)
    assert rejections.entries == [
        RejectionEntry(
            envelope_hash=tagged("envelope", request.envelope_bytes),
            request_id=request.request_id,
            code=code,
            final=True,
        )
    ]
    assert rejections.guarded == [ReplayEntry(request.request_id, request.body.expiry_ms, FINALLY_REJECTED)]


@pytest.mark.parametrize("code", ["busy", "request.after_unknown", "request.not_yet_valid", "request.too_far_ahead"])
def test_what_may_be_tried_again_is_not_kept(code: str) -> None:
    """It says so, and the guard forgets nothing, because it learns nothing."""
    rejections = RejectionList()
    rejections.add(World().put("a", 1), code)
    assert [entry.final for entry in rejections.entries] == [False]
    assert rejections.guarded == []


@pytest.mark.parametrize("code", ["request.expired", "request.forgotten", "request.replayed"])
def test_what_time_or_the_guard_turns_away_by_itself_is_not_kept(code: str) -> None:
    """It is final all the same; an entry would only fill the guard."""
    rejections = RejectionList()
    rejections.add(World().put("a", 1), code)
    assert [entry.final for entry in rejections.entries] == [True]
    assert rejections.guarded == []


def test_an_unauthenticated_envelope_binds_nobodys_request() -> None:
    """Its hash alone: anybody can write a victim's request_id. Nothing is kept of it, final as its code is."""
    rejections = RejectionList()
    rejections.add_unauthenticated(b"an envelope", "request.bad_signature")
    assert rejections.entries == [
        RejectionEntry(
            envelope_hash=tagged("envelope", b"an envelope"),
            request_id=ZERO_HASH,
            code="request.bad_signature",
            final=True,
        )
    ]
    assert rejections.guarded == []


def test_a_code_is_final_where_the_table_says_so() -> None:
    """What a client reads of a code is what the Auditor acts upon."""
    assert is_final("request.expired")
    assert not is_final("busy")
    assert {ERRORS[code].retry for code in ("busy", "request.after_unknown")} == {"retry"}


def test_the_allowance_is_spent_once_a_second() -> None:
    """As many as the limit, in one batch; whatever was left over in it is gone, until the next second begins."""
    allowance = UnauthenticatedAllowance(Limits.tiny())
    assert allowance.take(5_000, 0) == 0, "nothing was wanted, so nothing is spent"
    assert allowance.take(5_000, 9) == 4
    assert allowance.take(5_999, 9) == 0
    assert allowance.take(6_000, 3) == 3
    assert allowance.take(6_001, 1) == 0
    assert allowance.take(7_000, 4) == 4


def test_the_allowance_is_there_from_the_first_moment() -> None:
    """By a clock that begins at 0, as in a simulation."""
    assert UnauthenticatedAllowance(Limits.tiny()).take(0, 5) == 4


def test_a_batch_of_rejections_names_its_place_and_covers_its_entries() -> None:
    """What waits to be signed holds the header and the entries, and no signature yet."""
    entries = [b"one", b"two", b"three"]
    header = rejections_header(
        entries, ledger_id=b"l" * 32, epoch=2, number=7, previous_hash=b"p" * 32, as_of_sequence=41
    )
    assert header == RejectionsHeader(
        ledger_id=b"l" * 32,
        epoch=2,
        rejection_number=7,
        previous_hash=b"p" * 32,
        as_of_sequence=41,
        entries_root=merkle.root(entries),
        count=3,
    )
    waiting = Rejections.from_bytes(unsigned_rejections(header.to_bytes(), entries))
    assert waiting == Rejections(header=header.to_bytes(), entries=tuple(entries), signature=bytes(64))
