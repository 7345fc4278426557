"""What a reader of configurations refuses, whoever signed them."""

from typing import Any

import pytest

from protocol.configuration import REPLICAS_MAX, ConfigurationError, check_dispersal
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


def dispersal(**changes: Any) -> dict[str, Any]:
    """Numbers with which blocks can be dispersed, but for the changes."""
    return {"n": 4, "b": 1, "c": 0, "k": 3, "checksum": "tree", "block_updates": 4} | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 1, "b": 0, "k": 1, "checksum": "none", "block_updates": 1},
        {"n": 3, "b": 1, "k": 2},
        {"c": 1, "k": 2},
        {"n": 256, "k": 255},
    ],
    ids=str,
)
def test_the_last_numbers_that_do(changes: dict[str, Any]) -> None:
    """One replica, one more honest one than liars, as many silent ones as may be, one for each element of the field."""
    check_dispersal(**dispersal(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 0, "b": 0, "k": 0},
        {"b": -1, "k": 5},
        {"c": -1, "k": 4},
        {"b": -1, "c": 1, "k": 4},
        {"k": 2},
        {"k": 4},
        {"n": 2, "k": 1},
        {"n": 257, "k": 256},
        {"block_updates": 0},
    ],
    ids=str,
)
def test_the_first_numbers_that_do_not(changes: dict[str, Any]) -> None:
    """No negative ones, though their sum be right; k = n - b - c > b, n <= 256, blocks of something."""
    with pytest.raises(ConfigurationError) as caught:
        check_dispersal(**dispersal(**changes))
    assert caught.value.code == "epoch.malformed"
    assert REPLICAS_MAX == 256, "the elements of the field that slices are computed in"


@pytest.mark.parametrize(("checksum", "b"), [("none", 1), ("none", 2), ("", 0), ("tree ", 0)])
def test_checksums_that_do_not(checksum: str, b: int) -> None:
    """Without one a single liar is believed; and there are three."""
    with pytest.raises(ConfigurationError) as caught:
        check_dispersal(**dispersal(n=6, b=b, k=6 - b, checksum=checksum))
    assert caught.value.code == "epoch.checksum"
