"""Genesis and configurations as everybody must check them before anything else is believed (PROTOCOL 5, step 2)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from protocol.configuration import (
    ConfigurationError,
    Epochs,
    check_epochs,
    check_newest_epochs,
    configuration_hash,
    ledger_id,
)
from protocol.hashing import ZERO_HASH
from protocol.limits import Limits
from protocol.signing import Role, SigningKey
from schemas.epoch import Configuration, Cut, SignedConfiguration
from tests.parties import key_of, make_configuration, make_epochs, sign_configuration

KEYS: dict[Role, SigningKey] = {"auditor": key_of("auditor"), "ledger": key_of("ledger")}
NEW_KEYS: dict[Role, SigningKey] = {"auditor": key_of("new auditor"), "ledger": key_of("new ledger")}
GENESIS = make_epochs()


def check(*signed: bytes, genesis: bytes = GENESIS.genesis_bytes, trusted: bytes = GENESIS.ledger_id) -> Epochs:
    """What a reader who trusts this ledger makes of configurations."""
    return check_epochs(trusted, genesis, signed)


def first(**changes: Any) -> Configuration:
    """Configuration 0, but for the changes."""
    return replace(GENESIS.latest, **changes)


def second(**changes: Any) -> Configuration:
    """Configuration 1 with new keys of both parties, but for the changes."""
    cut = Cut(sequence=7, statement_hash=bytes(32), journal_size=8, journal_root=bytes(32))
    made = make_configuration(
        GENESIS.ledger_id,
        1,
        configuration_hash(GENESIS.latest.to_bytes()),
        cut,
        auditor_key=NEW_KEYS["auditor"].public_key,
        ledger_key=NEW_KEYS["ledger"].public_key,
    )
    return replace(made, **changes)


def signed_second(**changes: Any) -> bytes:
    """It, signed by the new keys and those before them."""
    return sign_configuration(second(**changes), NEW_KEYS, KEYS)


def refusal(check_it: Callable[[], object]) -> str:
    """The code with which a check refuses."""
    with pytest.raises(ConfigurationError) as caught:
        check_it()
    return caught.value.code


def test_what_both_parties_have_signed_is_accepted() -> None:
    """One configuration, and a second one with other keys."""
    assert check(*GENESIS.signed).latest == GENESIS.latest
    assert check(*GENESIS.signed, signed_second()).latest == second()


FIRST_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an older format": ({"format": 0}, "epoch.malformed"),
    "a later format": ({"format": 2}, "epoch.malformed"),
    "another ledger": ({"ledger_id": bytes(32)}, "epoch.chain"),
    "another format": ({"format": 2}, "epoch.malformed"),
    "another number": ({"epoch": 1}, "epoch.chain"),
    "something before it": ({"previous_epoch_hash": bytes(31) + b"\1"}, "epoch.chain"),
    "the Auditor's key for the Ledger": ({"ledger_key": KEYS["auditor"].public_key}, "epoch.keys"),
    "a party's key for a replica": (
        {"replica_keys": (KEYS["ledger"].public_key, *GENESIS.latest.replica_keys[1:])},
        "epoch.keys",
    ),
    "a replica's key twice": ({"replica_keys": GENESIS.latest.replica_keys[:1] * 4}, "epoch.keys"),
    "a key that the genesis does not have": ({"auditor_key": NEW_KEYS["auditor"].public_key}, "epoch.keys"),
    "one key as two algorithms": (
        {"replica_keys": (KEYS["ledger"].public_key._replace(algorithm="ed25519"), *GENESIS.latest.replica_keys[1:])},
        "epoch.keys",
    ),
    "more keys than replicas": ({"n": 3, "k": 2}, "epoch.malformed"),
    "no window": ({"window": 0}, "epoch.malformed"),
    "a clock that runs backwards": ({"skew_ms": -1}, "epoch.malformed"),
    "no limits": ({"limits": b"{}"}, "epoch.malformed"),
    "limits that are no object": ({"limits": b"[]"}, "epoch.malformed"),
    "limits that are not canonical": ({"limits": Limits().to_bytes() + b" "}, "epoch.malformed"),
    "limits that no ledger could run with": (
        {"limits": Limits().to_bytes().replace(b'"batch_bytes":819200', b'"batch_bytes":1')},
        "epoch.malformed",
    ),
}


@pytest.mark.parametrize("name", FIRST_REFUSED)
def test_a_first_configuration_that_is_wrong(name: str) -> None:
    """Although both parties have signed it."""
    changes, code = FIRST_REFUSED[name]
    assert refusal(lambda: check(sign_configuration(first(**changes), KEYS))) == code


@pytest.mark.parametrize(
    "signers",
    [("auditor", "eve"), ("eve", "ledger"), ("ledger", "auditor"), ("auditor", "auditor"), ("ledger", "ledger")],
    ids="-".join,
)
def test_a_first_configuration_that_not_both_have_signed(signers: Sequence[str]) -> None:
    """One alone, somebody else, or each in the other's place."""
    auditor, ledger = map(key_of, signers)
    signed = sign_configuration(GENESIS.latest, {"auditor": auditor, "ledger": ledger})
    assert refusal(lambda: check(signed)) == "epoch.signature"


@pytest.mark.parametrize("party", ["auditor", "ledger"])
def test_a_first_configuration_has_no_signatures_of_keys_before_it(party: str) -> None:
    """Nobody looks at one, so whoever carries the file could write what he likes there."""
    signed = SignedConfiguration.from_bytes(GENESIS.signed[0])
    more = replace(signed, **{f"previous_{party}_signature": bytes(64)}).to_bytes()
    assert refusal(lambda: check(more)) == "epoch.signature"


@pytest.mark.parametrize("party", ["auditor", "ledger"])
@pytest.mark.parametrize("which", ["own", "before"])
def test_a_second_configuration_wants_four_signatures(party: Role, which: str) -> None:
    """Of the new keys, and of those before: whoever took one key alone changes no epoch."""
    eve = key_of("eve")
    own = NEW_KEYS | ({party: eve} if which == "own" else {})
    before = KEYS | ({party: eve} if which == "before" else {})
    assert refusal(lambda: check(*GENESIS.signed, sign_configuration(second(), own, before))) == "epoch.signature"


@pytest.mark.parametrize("party", ["auditor", "ledger"])
def test_a_key_that_can_verify_nothing(party: Role) -> None:
    """Bytes that are no key stand for a signature that fails: an error with its code, and not the library's."""
    for key in (bytes(33), b"\2" * 33, b""):
        refused = KEYS[party].public_key._replace(key=key)
        changed = sign_configuration(second(**{f"{party}_key": refused}), NEW_KEYS, KEYS)
        assert refusal(partial(check, *GENESIS.signed, changed)) == "epoch.signature"


def test_a_third_configuration_is_signed_by_the_keys_before_it() -> None:
    """By those of the second, and not by those that the ledger began with; and it names the second one's hash."""
    before, cut = second(), Cut(sequence=9, statement_hash=bytes(32), journal_size=10, journal_root=bytes(32))
    third = replace(before, epoch=2, previous_epoch_hash=configuration_hash(before.to_bytes()), cut=cut)
    known = (*GENESIS.signed, signed_second())
    assert check(*known, sign_configuration(third, NEW_KEYS, NEW_KEYS)).latest == third
    assert refusal(lambda: check(*known, sign_configuration(third, NEW_KEYS, KEYS))) == "epoch.signature"
    beside = replace(third, previous_epoch_hash=configuration_hash(GENESIS.latest.to_bytes()))
    assert refusal(lambda: check(*known, sign_configuration(beside, NEW_KEYS, NEW_KEYS))) == "epoch.chain"


def test_an_epoch_has_the_sequences_between_its_cuts() -> None:
    """Above its own and at or below the next one's; the last epoch has no end, and nobody knows another one."""
    epochs = check(*GENESIS.signed, signed_second())
    for epoch, sequence in ((0, 0), (0, 7), (1, 8), (1, 2**63 - 1)):
        epochs.check_place(epoch, sequence)
    for epoch, sequence in ((0, -1), (0, 8), (1, 7)):
        assert refusal(partial(epochs.check_place, epoch, sequence)) == "epoch.cut"
    for epoch in (-2, -1, 2):
        assert refusal(partial(epochs.check_place, epoch, 8)) == "epoch.unknown"
        assert refusal(partial(epochs.at, epoch)) == "epoch.unknown"
    assert (epochs.at(0), epochs.at(1), epochs.limits) == (GENESIS.latest, second(), Limits())


def test_a_second_configuration_without_those_before() -> None:
    """Their places left empty."""
    assert refusal(lambda: check(*GENESIS.signed, sign_configuration(second(), NEW_KEYS))) == "epoch.signature"


@pytest.mark.parametrize(
    "changes", [{"epoch": 2}, {"previous_epoch_hash": ZERO_HASH}, {"ledger_id": bytes(32)}], ids=repr
)
def test_a_second_configuration_that_does_not_follow(changes: dict[str, Any]) -> None:
    assert refusal(lambda: check(*GENESIS.signed, signed_second(**changes))) == "epoch.chain"


def test_what_is_none() -> None:
    """No configuration, or bytes of something else; a genesis that is not the trusted one, or none."""
    (signed,) = GENESIS.signed
    assert refusal(check) == "epoch.chain"
    assert refusal(lambda: check(signed + b"\0")) == "epoch.malformed"
    broken = replace(SignedConfiguration.from_bytes(signed), configuration=b"\0").to_bytes()
    assert refusal(lambda: check(broken)) == "epoch.malformed"
    other = make_epochs(b"other")
    assert refusal(lambda: check(signed, genesis=other.genesis_bytes)) == "genesis.untrusted"
    assert refusal(lambda: check(*other.signed)) == "epoch.chain"
    later = replace(GENESIS.genesis, format=2).to_bytes()
    assert refusal(lambda: check(signed, genesis=later, trusted=ledger_id(later))) == "genesis.malformed"
    assert refusal(lambda: check(signed, genesis=b"\0")) == "genesis.malformed"


@pytest.mark.parametrize("number", [0, 2])
def test_a_genesis_of_another_format(number: int) -> None:
    """Its fields may mean something else there, so nobody begins with it, though he trusts its hash."""
    genesis = replace(GENESIS.genesis, format=number).to_bytes()
    configuration = first(ledger_id=ledger_id(genesis))
    signed = sign_configuration(configuration, KEYS)
    assert refusal(lambda: check(signed, genesis=genesis, trusted=ledger_id(genesis))) == "genesis.malformed"
    same = GENESIS.genesis.to_bytes()
    assert check(sign_configuration(first(), KEYS), genesis=same, trusted=ledger_id(same)).genesis == GENESIS.genesis


def test_the_longer_of_two_histories_counts_and_a_fork_does_not() -> None:
    """A reader that knows an epoch takes a file that ends before it, or goes on behind it, and none beside it."""
    known = (*GENESIS.signed, signed_second())
    beside = (*GENESIS.signed, signed_second(skew_ms=2_000))

    def newest(shown: Sequence[bytes], own: Sequence[bytes]) -> Epochs:
        return check_newest_epochs(GENESIS.ledger_id, GENESIS.genesis_bytes, shown, own)

    for shown, own in ((known, GENESIS.signed), (GENESIS.signed, known), (known, ()), (known, known)):
        assert newest(shown, own).latest == second()
    assert refusal(lambda: newest(beside, known)) == "epoch.chain"
    assert refusal(lambda: newest(known, beside)) == "epoch.chain"
