"""Genesis and epochs: whose keys count, where.

Rules:

1. `ledger_id = H("genesis", genesis)`; the reader brings the ledger_id he trusts, never the file he checks.
2. Epochs are consecutive from 0; each names the hash of the one before it and is signed by both parties with
   its own keys and, from epoch 1 on, with the keys before it too.
3. A sequence belongs to the epoch whose cuts enclose it: above its own cut, at or below the next one's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.canonical_json import loads
from protocol.errors import CountersignError
from protocol.hashing import ZERO_HASH, tagged
from protocol.limits import Limits
from protocol.signatures import SignatureCheck, configuration_input
from protocol.signing import BadSignatureError, Role, verify_key
from schemas.epoch import Configuration, Genesis, PublicKey, SignedConfiguration
from schemas.errors import MalformedMessageError

FORMAT = 1

NONE = "none"
SIMPLE = "simple"
TREE = "tree"
CHECKSUMS = (NONE, SIMPLE, TREE)
"""What a ledger's blocks may be bound with (`learners.checksums`)."""

REPLICAS_MAX = 256
"""One for each element of the field that slices are computed in (`learners.codec`)."""


class ConfigurationError(CountersignError):
    """A genesis or an epoch configuration that cannot be trusted; `code` says at which step."""


def ledger_id(genesis: bytes) -> bytes:
    """Identity of a ledger: the hash of its genesis's bytes."""
    return tagged("genesis", genesis)


def configuration_hash(configuration: bytes) -> bytes:
    """Identity of an epoch's configuration."""
    return tagged("configuration", configuration)


def limits_of(configuration: Configuration) -> Limits:
    """The limits of an epoch.

    Raises:
        NotCanonicalError, CountersignError: the bytes are not the canonical JSON of limits.
    """
    values = loads(configuration.limits)
    if not isinstance(values, dict):
        raise CountersignError("config.invalid", "limits are no object")
    return Limits.from_mapping(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Epochs:
    """Genesis and checked configurations of one ledger, from epoch 0 on without gaps."""

    ledger_id: bytes
    genesis_bytes: bytes
    genesis: Genesis
    signed: tuple[bytes, ...]
    configurations: tuple[Configuration, ...]

    def at(self, epoch: int) -> Configuration:
        """The configuration of an epoch.

        Raises:
            ConfigurationError: `epoch.unknown`.
        """
        if not 0 <= epoch < len(self.configurations):
            raise ConfigurationError("epoch.unknown", f"epoch {epoch}")
        return self.configurations[epoch]

    def check_place(self, epoch: int, sequence: int) -> None:
        """Require that a sequence lies in an epoch: above its cut, and within the next one's.

        Raises:
            ConfigurationError: `epoch.unknown` or `epoch.cut`.
        """
        if sequence <= self.at(epoch).cut.sequence:
            raise ConfigurationError("epoch.cut", f"sequence {sequence} is below epoch {epoch}")
        if epoch + 1 < len(self.configurations) and sequence > self.configurations[epoch + 1].cut.sequence:
            raise ConfigurationError("epoch.cut", f"sequence {sequence} is above the end of epoch {epoch}")

    @property
    def latest(self) -> Configuration:
        """The configuration in force."""
        return self.configurations[-1]

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return limits_of(self.latest)


def check_epochs(trusted_ledger_id: bytes, genesis_bytes: bytes, signed: Sequence[bytes]) -> Epochs:
    """Check a genesis and its configurations against a ledger_id that the reader trusts.

    Raises:
        ConfigurationError: `genesis.malformed`, `genesis.untrusted`, `epoch.malformed`, `epoch.chain`,
            `epoch.checksum`, `epoch.keys`, `epoch.signature`.
    """
    try:
        genesis = Genesis.from_bytes(genesis_bytes)
    except MalformedMessageError as error:
        raise ConfigurationError("genesis.malformed", str(error)) from error
    if ledger_id(genesis_bytes) != trusted_ledger_id:
        raise ConfigurationError("genesis.untrusted", "its hash is not the trusted ledger_id")
    if genesis.format != FORMAT:
        raise ConfigurationError("genesis.malformed", f"format {genesis.format}")
    configurations: list[Configuration] = []
    previous_hash = ZERO_HASH
    for data in signed:
        previous_hash = _check_next(trusted_ledger_id, genesis, configurations, previous_hash, data)
    if not configurations:
        raise ConfigurationError("epoch.chain", "there is no configuration")
    return Epochs(
        ledger_id=trusted_ledger_id,
        genesis_bytes=genesis_bytes,
        genesis=genesis,
        signed=tuple(signed),
        configurations=tuple(configurations),
    )


def check_newest_epochs(
    trusted_ledger_id: bytes, genesis_bytes: bytes, shown: Sequence[bytes], known: Sequence[bytes]
) -> Epochs:
    """Check the configurations in a file beside those that its reader knows, and take the longer ones.

    Raises:
        ConfigurationError: as `check_epochs`; `epoch.chain` if the two are not of one history.
    """
    in_file = check_epochs(trusted_ledger_id, genesis_bytes, shown)
    if not known:
        return in_file
    own = check_epochs(trusted_ledger_id, genesis_bytes, known)
    common = min(len(in_file.configurations), len(own.configurations))
    if in_file.configurations[:common] != own.configurations[:common]:
        raise ConfigurationError("epoch.chain", "these are not the configurations that the reader knows")
    return max(in_file, own, key=lambda epochs: len(epochs.configurations))


def _check_next(
    trusted: bytes, genesis: Genesis, configurations: list[Configuration], previous_hash: bytes, data: bytes
) -> bytes:
    """Check one configuration, append it, and return its hash."""
    try:
        signed = SignedConfiguration.from_bytes(data)
        configuration = Configuration.from_bytes(signed.configuration)
        limits_of(configuration)
    except (MalformedMessageError, CountersignError, ValueError) as error:
        raise ConfigurationError("epoch.malformed", str(error)) from error
    if configuration.format != FORMAT:
        raise ConfigurationError("epoch.malformed", f"format {configuration.format}")
    epoch = len(configurations)
    if configuration.ledger_id != trusted or configuration.epoch != epoch:
        raise ConfigurationError("epoch.chain", f"expected epoch {epoch} of this ledger")
    if configuration.previous_epoch_hash != previous_hash:
        raise ConfigurationError("epoch.chain", f"epoch {epoch} does not name the one before it")
    _check_numbers(configuration)
    keys = [configuration.auditor_key, configuration.ledger_key, *configuration.replica_keys]
    if len({key.key for key in keys}) != len(keys):
        raise ConfigurationError("epoch.keys", "one key stands for two roles")
    if epoch == 0 and (configuration.auditor_key, configuration.ledger_key) != (
        genesis.auditor_key,
        genesis.ledger_key,
    ):
        raise ConfigurationError("epoch.keys", "epoch 0 does not have the genesis keys")
    for check in _signature_checks(trusted, configurations, configuration, signed):
        try:
            verify_key(check.key.algorithm, check.key.key).verify(check.signed, check.signature)
        except (BadSignatureError, ValueError) as error:
            raise ConfigurationError("epoch.signature", f"epoch {epoch}") from error
    configurations.append(configuration)
    return configuration_hash(signed.configuration)


def _check_numbers(configuration: Configuration) -> None:
    if len(configuration.replica_keys) != configuration.n:
        text = f"{len(configuration.replica_keys)} keys of {configuration.n} replicas"
        raise ConfigurationError("epoch.malformed", text)
    check_dispersal(
        n=configuration.n,
        b=configuration.b,
        c=configuration.c,
        k=configuration.k,
        checksum=configuration.checksum,
        block_updates=configuration.block_updates,
    )
    if configuration.window < 1 or configuration.skew_ms < 0:
        raise ConfigurationError("epoch.malformed", "a number is out of its range")


def check_dispersal(*, n: int, b: int, c: int, k: int, checksum: str, block_updates: int) -> None:
    """Require numbers with which blocks can be dispersed, and a checksum under which `b` lying replicas harm nobody.

    Raises:
        ConfigurationError: `epoch.malformed`, `epoch.checksum`.
    """
    if not (b >= 0 and c >= 0 and k == n - b - c and b < k and n <= REPLICAS_MAX):
        text = f"n={n}, b={b}, c={c}, k={k}: k = n - b - c > b is required, and n <= {REPLICAS_MAX}"
        raise ConfigurationError("epoch.malformed", text)
    if block_updates < 1:
        raise ConfigurationError("epoch.malformed", f"a block of {block_updates} updates")
    if checksum not in CHECKSUMS:
        raise ConfigurationError("epoch.checksum", f"{checksum[:32]!r} is none of {', '.join(CHECKSUMS)}")
    if checksum == NONE and b > 0:
        raise ConfigurationError("epoch.checksum", f"b={b}: without a checksum a single liar is believed")


def _signature_checks(
    trusted: bytes,
    configurations: list[Configuration],
    configuration: Configuration,
    signed: SignedConfiguration,
) -> list[SignatureCheck]:
    def check(role: Role, key: PublicKey, signature: bytes | None) -> SignatureCheck:
        data = configuration_input(role, trusted, configuration.epoch, signed.configuration)
        return SignatureCheck(key, data, signature or b"")

    checks = [
        check("auditor", configuration.auditor_key, signed.auditor_signature),
        check("ledger", configuration.ledger_key, signed.ledger_signature),
    ]
    if configurations:
        before = configurations[-1]
        checks.append(check("auditor", before.auditor_key, signed.previous_auditor_signature))
        checks.append(check("ledger", before.ledger_key, signed.previous_ledger_signature))
    elif signed.previous_auditor_signature is not None or signed.previous_ledger_signature is not None:
        raise ConfigurationError("epoch.signature", "there are no keys before epoch 0")
    return checks
