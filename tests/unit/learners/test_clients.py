"""Client signatures as a learner checks them: which key must have signed, as the journal had it."""

from dataclasses import replace

import pytest

from learners.clients import ClientKeys
from learners.journal import FollowedUpdate, follow
from learners.updates import UpdateError
from protocol.journal import Head
from tests.parties import key_of
from tests.unit.learners.cluster import verifies
from tests.worlds import World


def followed(world: World) -> list[FollowedUpdate]:
    bodies = [world.updates[sequence].to_bytes() for sequence in sorted(world.updates)]
    return follow(Head.start(), bodies, world.epochs)[0]


def with_carol() -> World:
    """Carol registers, then sends three requests under one signature."""
    world = World()
    world.decide(world.enrol("carol"))
    bodies = [world.body("object.get", {"key": "x"}, "carol") for _ in range(3)]
    world.decide(*world.sign(*bodies, signer="carol"))
    return world


def test_each_signature_is_checked_once_by_the_entity_s_own_key() -> None:
    """Requests signed together need one check; keys come from the genesis and from the journal."""
    world = with_carol()
    checks = ClientKeys.of_genesis(world.epochs).checks(followed(world))
    assert [check.key for check in checks] == [key_of("admin").public_key, key_of("carol").public_key]
    assert all(map(verifies, checks))


def test_keys_survive_a_restart() -> None:
    """They are kept with the learner's position."""
    world = with_carol()
    keys = ClientKeys.of_genesis(world.epochs)
    first, second = followed(world)
    keys.checks([first])
    again = ClientKeys.from_bytes(keys.to_bytes(), world.epochs)
    assert again.to_bytes() == keys.to_bytes()
    assert again.checks([second]) == keys.checks([second])


def test_a_signature_by_somebody_else_fails() -> None:
    """The check is by the key that the body names, whoever signed."""
    world = World()
    world.decide(world.request("object.put", {"key": "x", "value": 1}, "admin", signer="mallory"))
    (check,) = ClientKeys.of_genesis(world.epochs).checks(followed(world))
    assert not verifies(check)


@pytest.mark.parametrize("known", ["unknown", "revoked", "deleted"])
def test_a_key_that_is_not_valid_signs_nothing(known: str) -> None:
    """Unknown, revoked or deleted before the request."""
    world = with_carol()
    keys = ClientKeys.of_genesis(world.epochs)
    first, second = followed(world)
    if known != "unknown":
        keys.checks([first])
    if known == "revoked":
        data = keys.to_bytes().replace(b"active", b"revoked")
        keys = ClientKeys.from_bytes(data, world.epochs)
    if known == "deleted":
        keys._follow_write("sys", "entity/carol/key/1", b"")
    with pytest.raises(UpdateError):
        keys.checks([second])


def test_only_records_of_keys_are_followed() -> None:
    """Another namespace, or another record of the registry, is no key."""
    world = World()
    keys = ClientKeys.of_genesis(world.epochs)
    before = keys.to_bytes()
    keys._follow_write("object", "entity/carol/key/1", b"{}")
    keys._follow_write("sys", "entity/carol", b"{}")
    keys._follow_write("sys", "contract/transfer/1", b"{}")
    assert keys.to_bytes() == before


def test_outcomes_of_other_requests_are_refused() -> None:
    """What was executed must be what the client signed, request by request."""
    world = World()
    world.decide(world.put("x", 1), world.put("y", 2))
    (only,) = followed(world)
    entries = replace(only.update, entries=only.update.entries[::-1])
    for other in (only._replace(update=entries), only._replace(outcomes=only.outcomes[::-1])):
        with pytest.raises(UpdateError):
            ClientKeys.of_genesis(world.epochs).checks([other])


def test_a_request_that_cannot_be_read_is_refused() -> None:
    """Neither as an entry nor as an envelope."""
    world = World()
    world.decide(world.put("x", 1))
    (only,) = followed(world)
    for entry in (b"", b"rubbish", only.update.entries[0][:60]):
        broken = replace(only.update, entries=(entry,))
        with pytest.raises(UpdateError):
            ClientKeys.of_genesis(world.epochs).checks([only._replace(update=broken)])
