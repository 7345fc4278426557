"""What a reader of configurations refuses, whoever signed them."""

from typing import Any

import pytest

from protocol.configuration import ConfigurationError
from tests.unit.learners.cluster import epochs_of
from tests.worlds import World

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no checksum, and liars": ({"checksum": "none"}, "epoch.checksum"),
    "an unknown checksum": ({"checksum": "Tree"}, "epoch.checksum"),
    "k that is not n - b - c": ({"k": 2}, "epoch.malformed"),
    "as many liars as pieces suffice": ({"b": 2, "k": 2}, "epoch.malformed"),
    "fewer keys than replicas": ({"n": 5, "k": 4}, "epoch.malformed"),
    "empty blocks": ({"block_updates": 0}, "epoch.malformed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_numbers_of_dispersal_are_checked_when_a_configuration_is_read(name: str) -> None:
    """Both parties have signed it, and still nobody starts with it."""
    changes, code = REFUSED[name]
    world = World()
    keys = world.epochs.latest.replica_keys
    with pytest.raises(ConfigurationError) as caught:
        epochs_of(world, changes.pop("n", 4), changes.pop("b", 1), replica_keys=keys, **changes)
    assert caught.value.code == code


@pytest.mark.parametrize(("checksum", "b"), [("none", 0), ("simple", 1), ("tree", 1)])
def test_each_checksum_is_accepted_where_it_is_sound(checksum: str, b: int) -> None:
    """And none where nobody may lie."""
    assert epochs_of(World(), 4, b, checksum=checksum).latest.checksum == checksum
