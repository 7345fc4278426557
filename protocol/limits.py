"""Every limit of the system, in one frozen value (DESIGN 8).

Rules:

1. The unit stands in the name: bytes, ms, or what is counted. Each is the greatest value still allowed.
2. Limits are part of an epoch's configuration, so both parties reject and close batches alike.
3. What fits the inner limit fits the outer one: otherwise a valid request could never be ordered.
4. What a batch becomes is counted before it is ordered, never as less than its bytes: a decision that is longer than a
   message could never be sent, nor anything after it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Self

from protocol.canonical_json import NotCanonicalError, dumps, loads
from protocol.errors import CountersignError

KIB = 1024
MIB = 1024 * KIB
SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS

_VALUE_MAX = 2**53 - 1  # the integers of canonical JSON

# What a decision takes at most beside its envelopes, texts, values and names. A number has up to 10 bytes, a length up
# to 4, a hash 32; what is read or written stands in an entry and in an outcome.
REQUEST_BYTES = 256  # two indexes, request_id, versions, status, code, output_hash, four arrays and four lengths
READ_BYTES = 104
WRITE_BYTES = 88
SCAN_BYTES = 96
ROW_BYTES = 104

ENVELOPE_BYTES = 1024
"""What an envelope may add to its body: a path of at most 12 hashes, a signature, a few numbers."""

_SIGNED_BYTES = 4 * KIB  # statement, header, salt and signatures of a decision; what a result or receipts have instead


class InvalidLimitsError(CountersignError, ValueError):
    """Limits that no ledger could run with."""

    def __init__(self, detail: str) -> None:
        super().__init__("config.invalid", detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a request, a contract, a batch and a queue may take.

    Attributes:
        request_bytes: body of a request.
        argument_bytes: canonical JSON of a call's argument.
        value_bytes: canonical JSON of one record's value.
        name_bytes: UTF-8 of the name of an entity, a contract or a namespace.
        key_bytes: UTF-8 of a record's key.
        fail_text_bytes: UTF-8 of what a contract says with `fail`; the rest is cut.
        records_per_request: records one request reads, scans, sees in histories and writes, all together.
        request_output_bytes: output and written values of one request.
        signed_together: requests under one client signature.
        contract_source_bytes: source of a contract.
        contract_line_tokens: tokens on one line of a source.
        contract_brackets: brackets open at once in a source.
        contract_steps: loop steps of one request.
        contract_nesting: contracts that `invoke` one another, the first included.
        contract_memory_bytes: memory of a child process that runs contracts.
        contract_cpu_ms: CPU time of one request in it.
        resources_factor: how much wider the Ledger's bounds are than the Auditor's.
        batch_requests: requests in a batch.
        batch_bytes: envelopes in a batch.
        batch_output_bytes: what executing a batch adds to its decision; reaching it closes the batch.
        batch_linger_ms: how long a batch waits for more.
        block_half_full_ms: how long a block stays half full before empty batches fill it.
        message_bytes: a Kafka message.
        expiry_default_ms: validity of a request whose client names none.
        expiry_ahead_ms: how far ahead of `ordered_at` an expiry may lie.
        clock_skew_ms: how far an order may be ahead of the Ledger's clock before it is held.
        replay_guard_entries: request_ids kept against replay; beyond that the rejection is `busy`.
        unauthenticated_rejections_per_second: rejections of what fails authentication; the rest is counted.
        window_sequences: W: batches ordered beyond the last decision, committed beyond the last verified one.
        learner_window_bytes: pieces a learner holds ahead of the block it is at.
        resend_first_ms: silence after which undecided messages are sent again; doubles each time.
        resend_longest_ms: where the doubling ends.
    """

    request_bytes: int = 64 * KIB
    argument_bytes: int = 32 * KIB
    value_bytes: int = 32 * KIB
    name_bytes: int = 128
    key_bytes: int = 1 * KIB
    fail_text_bytes: int = 1 * KIB
    records_per_request: int = 64
    request_output_bytes: int = 256 * KIB
    signed_together: int = 4096
    contract_source_bytes: int = 64 * KIB
    contract_line_tokens: int = 400
    contract_brackets: int = 64
    contract_steps: int = 1_000_000
    contract_nesting: int = 8
    contract_memory_bytes: int = 256 * MIB
    contract_cpu_ms: int = 2 * SECOND_MS
    resources_factor: int = 4
    batch_requests: int = 1_000
    batch_bytes: int = 800 * KIB
    batch_output_bytes: int = 4 * MIB
    batch_linger_ms: int = 10
    block_half_full_ms: int = 500
    message_bytes: int = 8 * MIB
    expiry_default_ms: int = 10 * MINUTE_MS
    expiry_ahead_ms: int = 24 * HOUR_MS
    clock_skew_ms: int = 5 * MINUTE_MS
    replay_guard_entries: int = 5_000_000
    unauthenticated_rejections_per_second: int = 100
    window_sequences: int = 64
    learner_window_bytes: int = 64 * MIB
    resend_first_ms: int = 1 * SECOND_MS
    resend_longest_ms: int = 30 * SECOND_MS

    def __post_init__(self) -> None:
        """Refuse limits that no ledger could run with.

        Raises:
            InvalidLimitsError: a limit is no positive integer, or an inner one is wider than its outer one.
        """
        for name, value in asdict(self).items():
            if type(value) is not int or not 0 < value <= _VALUE_MAX:
                raise InvalidLimitsError(f"limit {name} is {value!r}, not a positive integer")
        for inner, outer in FITS_INTO:
            if getattr(self, inner) > getattr(self, outer):
                raise InvalidLimitsError(f"limit {inner} is wider than {outer}")

    @property
    def decision_bytes(self) -> int:
        """The longest decision, and so the longest of all that is made of one batch.

        At least one request is taken into a batch, whatever it gives.
        """
        record = max(READ_BYTES + WRITE_BYTES, SCAN_BYTES, ROW_BYTES) + 6 * (self.name_bytes + self.key_bytes + 1)
        one = REQUEST_BYTES + 2 * self.name_bytes + self.fail_text_bytes + self.request_output_bytes
        one += self.records_per_request * record
        return self.batch_bytes + ENVELOPE_BYTES + max(self.batch_output_bytes, one) + _SIGNED_BYTES

    @classmethod
    def tiny(cls) -> Self:
        """Limits small enough that a simulation meets each of them."""
        return cls(
            request_bytes=2 * KIB,
            argument_bytes=512,
            value_bytes=256,
            name_bytes=32,
            key_bytes=64,
            fail_text_bytes=32,
            records_per_request=8,
            request_output_bytes=1 * KIB,
            signed_together=4,
            contract_source_bytes=4 * KIB,
            contract_line_tokens=100,
            contract_brackets=16,
            contract_steps=10_000,
            contract_nesting=3,
            contract_memory_bytes=64 * MIB,
            contract_cpu_ms=500,
            batch_requests=4,
            batch_bytes=8 * KIB,
            batch_output_bytes=4 * KIB,
            block_half_full_ms=50,
            message_bytes=64 * KIB,
            expiry_default_ms=10 * SECOND_MS,
            expiry_ahead_ms=60 * SECOND_MS,
            clock_skew_ms=2 * SECOND_MS,
            replay_guard_entries=32,
            unauthenticated_rejections_per_second=4,
            window_sequences=4,
            learner_window_bytes=64 * KIB,
            resend_first_ms=100,
            resend_longest_ms=1 * SECOND_MS,
        )

    def to_mapping(self) -> dict[str, int]:
        """Names and values, for the epoch's configuration."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> Self:
        """The limits a mapping names, all of them and no others.

        Raises:
            InvalidLimitsError: a name is missing or unknown, or a value does not do.
        """
        names = {field.name for field in fields(cls)}
        if values.keys() != names:
            different = ", ".join(sorted(names ^ values.keys()))
            raise InvalidLimitsError(f"limits missing or unknown: {different}")
        return cls(**values)  # type: ignore[arg-type]  # every value is checked on construction

    def to_bytes(self) -> bytes:
        """Canonical JSON of the mapping: the form that an epoch's configuration holds."""
        return dumps(self.to_mapping())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The reverse of `to_bytes`.

        Raises:
            InvalidLimitsError: the bytes are not canonical JSON of all limits and no others.
        """
        try:
            values = loads(data)
        except NotCanonicalError as error:
            raise InvalidLimitsError(str(error)) from error
        if not isinstance(values, dict):
            raise InvalidLimitsError("limits are not an object")
        return cls.from_mapping(values)


FITS_INTO = (
    ("argument_bytes", "request_bytes"),
    ("value_bytes", "request_output_bytes"),
    ("request_bytes", "batch_bytes"),
    ("request_output_bytes", "batch_output_bytes"),
    ("batch_bytes", "message_bytes"),
    ("batch_output_bytes", "message_bytes"),
    ("expiry_default_ms", "expiry_ahead_ms"),
    ("resend_first_ms", "resend_longest_ms"),
)
"""No limit is above the one that stands beside it."""
