"""One evidence file under examination: its parts, its ledger's epochs, and every signature that was checked.

Rules:

1. A part is authentic only by a signature that was verified here, with the key of the epoch it claims, of a
   ledger that the reader trusts.
2. What is void proves nothing: a sequence must lie in its epoch, as far as the known configurations say.
3. Whose signatures were relied on is kept: if one of them was made with a key that its role has given up
   since, the key is named and not the party.
"""

from collections.abc import Callable, Mapping, Sequence

from protocol.configuration import Epochs, limits_of
from protocol.errors import CountersignError
from protocol.evidence.ports import Dispersal, Engine
from protocol.evidence.verdicts import CannotJudgeError, Culprit, NothingProvenError, Role
from protocol.limits import Limits
from protocol.signatures import SignatureCheck
from protocol.signing import verify_key
from schemas.epoch import Configuration, PublicKey

VerifySignature = Callable[[SignatureCheck], None]
"""Raises `CountersignError` if the signature does not verify."""


def verify_signature(check: SignatureCheck) -> None:
    """Check one signature.

    Raises:
        CountersignError: `signature.bad` or `key.refused`.
    """
    verify_key(check.key.algorithm, check.key.key).verify(check.signed, check.signature)


def presuming(signed: bytes) -> VerifySignature:
    """As `verify_signature`, but any signature over these bytes is good: the caller is about to make it."""

    def verify(check: SignatureCheck) -> None:
        if check.signed != signed:
            verify_signature(check)

    return verify


class Case:
    """What the judge of a kind works on.

    Args:
        epochs: checked against the ledger_id that the reader trusts.
        parts: by name; the table of kinds has checked that the kind's parts are there, and no others.
        engine: executes contracts again; None if this verifier cannot.
        dispersal: encodes blocks again; None if this verifier cannot.
        verify: checks one signature.
    """

    def __init__(
        self,
        *,
        epochs: Epochs,
        parts: Mapping[str, Sequence[bytes]],
        engine: Engine | None = None,
        dispersal: Dispersal | None = None,
        verify: VerifySignature = verify_signature,
    ) -> None:
        self.epochs = epochs
        self.engine = engine
        self.dispersal = dispersal
        self._parts = parts
        self.verify = verify
        self._verified: set[SignatureCheck] = set()
        self._signers: set[tuple[Culprit, PublicKey]] = set()

    @property
    def ledger_id(self) -> bytes:
        """The trusted ledger's."""
        return self.epochs.ledger_id

    def has(self, name: str) -> bool:
        """Whether there is such a part."""
        return name in self._parts

    def part(self, name: str) -> bytes:
        """The one part of this name."""
        (data,) = self._parts[name]
        return data

    def parts(self, name: str) -> Sequence[bytes]:
        """All parts of this name, perhaps none."""
        return self._parts.get(name, ())

    def configuration(self, epoch: int) -> Configuration:
        """The configuration of an epoch.

        Raises:
            ConfigurationError: `epoch.unknown`.
        """
        return self.epochs.at(epoch)

    def limits(self, epoch: int) -> Limits:
        """The limits of an epoch."""
        return limits_of(self.configuration(epoch))

    def require_ledger(self, ledger_id: bytes, format_number: int) -> None:
        """Require that a signed structure is of the trusted ledger and of format 1."""
        if ledger_id != self.ledger_id:
            raise NothingProvenError("a part is of another ledger", "evidence.ledger")
        if format_number != 1:
            raise CannotJudgeError(f"a part has format {format_number}")

    def require_place(self, epoch: int, sequence: int) -> None:
        """Require that a sequence is not void in its epoch.

        Raises:
            ConfigurationError: `epoch.unknown` or `epoch.cut`.
        """
        if sequence < 0:
            raise NothingProvenError(f"a part has sequence {sequence}")
        self.epochs.check_place(epoch, sequence)

    def key(self, role: Role, epoch: int, replica: int | None = None) -> PublicKey:
        """The key of a role in an epoch."""
        configuration = self.configuration(epoch)
        if role == "auditor":
            return configuration.auditor_key
        if role == "ledger":
            return configuration.ledger_key
        assert replica is not None
        if not 0 <= replica < len(configuration.replica_keys):
            raise NothingProvenError(f"epoch {epoch} has no replica {replica}")
        return configuration.replica_keys[replica]

    def authenticate(self, signer: Culprit, epoch: int, signed: bytes, signature: bytes) -> None:
        """Verify a signature of a party, and remember that it was relied on.

        Raises:
            NothingProvenError: it fails.
        """
        key = self.key(signer.role, epoch, signer.replica)
        if not self.verifies(SignatureCheck(key, signed, signature)):
            raise NothingProvenError(f"a signature of the {signer} fails")
        self._signers.add((signer, key))

    def verifies(self, check: SignatureCheck) -> bool:
        """Whether a signature is good; only for what a judge decides by, everything else is authenticated."""
        if check in self._verified:
            return True
        try:
            self.verify(check)
        except CountersignError:
            return False
        self._verified.add(check)
        return True

    def uses_retired_key(self, culprit: Culprit) -> bool:
        """Whether what was relied on holds a signature by a key that this role has given up since."""
        latest = len(self.epochs.configurations) - 1
        replicas = len(self.epochs.latest.replica_keys)
        for signer, key in self._signers:
            if signer != culprit:
                continue
            if signer.replica is not None and signer.replica >= replicas:
                return True
            if self.key(signer.role, latest, signer.replica) != key:
                return True
        return False
