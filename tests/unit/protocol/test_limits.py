"""Limits: the numbers of the design, and one form of bytes for an epoch's configuration."""

import dataclasses
import json
import re
from dataclasses import replace

import pytest

from protocol.canonical_json import dumps
from protocol.errors import CountersignError
from protocol.limits import InvalidLimitsError, Limits

UNITS = re.compile(r".*(bytes|ms|requests|records_per_request|tokens|brackets|steps|nesting|factor|entries)$")
COUNTS = {"signed_together", "unauthenticated_rejections_per_second", "window_sequences"}


def test_the_numbers_of_the_design() -> None:
    """The defaults are those that DESIGN 8 names, but for two (ADR 0031 and 0036)."""
    limits = Limits()
    kib, mib, minute_ms = 2**10, 2**20, 60_000
    assert limits.request_bytes == 64 * kib
    assert limits.argument_bytes == limits.value_bytes == 32 * kib
    assert limits.records_per_request == 64
    assert limits.contract_source_bytes == 64 * kib
    assert limits.contract_steps == 1_000_000
    assert limits.contract_nesting == 8
    assert (limits.batch_requests, limits.batch_bytes) == (1_000, 800 * kib)
    assert (limits.request_output_bytes, limits.batch_output_bytes) == (256 * kib, 4 * mib)
    assert limits.message_bytes == 8 * mib
    assert (limits.expiry_default_ms, limits.expiry_ahead_ms) == (10 * minute_ms, 24 * 60 * minute_ms)
    assert limits.clock_skew_ms == 5 * minute_ms
    assert limits.replay_guard_entries == 5_000_000
    assert limits.learner_window_bytes == 64 * mib
    assert (limits.batch_linger_ms, limits.block_half_full_ms) == (10, 500)
    assert (limits.resend_first_ms, limits.resend_longest_ms) == (1_000, 30_000)
    assert limits.window_sequences == 64


def test_names_say_their_unit() -> None:
    """Whoever reads a limit's name knows what its number counts."""
    for field in dataclasses.fields(Limits):
        assert UNITS.match(field.name) or field.name in COUNTS, field.name


def test_tiny_limits_are_no_wider() -> None:
    """A simulation with the tiny preset meets limits earlier, never later."""
    tiny, usual = Limits.tiny().to_mapping(), Limits().to_mapping()
    assert all(tiny[name] <= usual[name] for name in usual)
    assert sum(tiny[name] < usual[name] for name in usual) > 25


@pytest.mark.parametrize("limits", [Limits(), Limits.tiny()], ids=["usual", "tiny"])
def test_they_come_back_from_their_bytes(limits: Limits) -> None:
    """Mapping and canonical bytes hold every limit."""
    assert Limits.from_mapping(limits.to_mapping()) == limits
    assert Limits.from_bytes(limits.to_bytes()) == limits
    assert json.loads(limits.to_bytes()) == limits.to_mapping()


def test_limits_cannot_change() -> None:
    """A value that both parties signed stays what it is."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().request_bytes = 1  # type: ignore[misc]


@pytest.mark.parametrize("value", [0, -1, 2**53, True, 1.5, "1", None])
def test_values_that_do_not_do(value: object) -> None:
    """Only positive integers that canonical JSON can hold are limits."""
    mapping: dict[str, object] = {**Limits().to_mapping(), "contract_steps": value}
    with pytest.raises(InvalidLimitsError) as raised:
        Limits.from_mapping(mapping)
    assert isinstance(raised.value, CountersignError)
    assert raised.value.code == "config.invalid"
    assert "contract_steps" in raised.value.detail


def test_missing_and_unknown_names() -> None:
    """A configuration names all limits and no others."""
    mapping: dict[str, object] = {**Limits().to_mapping()}
    del mapping["batch_bytes"]
    with pytest.raises(InvalidLimitsError, match="batch_bytes"):
        Limits.from_mapping(mapping)
    with pytest.raises(InvalidLimitsError, match="colour"):
        Limits.from_mapping({**Limits().to_mapping(), "colour": 1})


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("argument_bytes", "request_bytes"),
        ("value_bytes", "request_output_bytes"),
        ("request_bytes", "batch_bytes"),
        ("request_output_bytes", "batch_output_bytes"),
        ("batch_bytes", "message_bytes"),
        ("batch_output_bytes", "message_bytes"),
        ("expiry_default_ms", "expiry_ahead_ms"),
        ("resend_first_ms", "resend_longest_ms"),
    ],
)
def test_the_inner_fits_the_outer(inner: str, outer: str) -> None:
    """A request within its own limit can always be ordered: limits that contradict each other are refused."""
    limits = Limits()
    with pytest.raises(InvalidLimitsError, match=f"{inner} is wider than {outer}"):
        dataclasses.replace(limits, **{inner: getattr(limits, outer) + 1})


def test_an_inner_limit_may_be_as_wide_as_its_outer_one() -> None:
    """What fits exactly fits."""
    limits = replace(Limits(), resend_first_ms=Limits().resend_longest_ms, expiry_default_ms=Limits().expiry_ahead_ms)
    assert (limits.resend_first_ms, limits.expiry_default_ms) == (limits.resend_longest_ms, limits.expiry_ahead_ms)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"1", b'{"batch_bytes":1}', b"\xff"])
def test_bytes_that_hold_no_limits(data: bytes) -> None:
    """Anything but canonical JSON of all limits raises the one error."""
    with pytest.raises(InvalidLimitsError):
        Limits.from_bytes(data)


def test_bytes_in_another_form() -> None:
    """White space makes the same mapping other bytes, which are refused."""
    spaced = json.dumps(Limits().to_mapping(), sort_keys=True).encode()
    assert spaced != dumps(Limits().to_mapping())
    with pytest.raises(InvalidLimitsError):
        Limits.from_bytes(spaced)
