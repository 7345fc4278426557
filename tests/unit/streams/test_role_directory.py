"""What a role is told: read back as it was written, and refused where it makes no sense."""

import errno
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import CountersignError
from schemas.topics import pieces_topic
from streams.kafka_connection import KafkaConnection
from streams.replica_places import check_places, replica_places
from streams.role_directory import CONFIGURATION_FILE, RoleConfiguration
from tests.worlds import World

PLACES: dict[str, Any] = {
    "0": {"bootstrap_servers": "a:9092", "kafka": {"security.protocol": "SSL", 'q"uote': "back\\slash"}},
    "2": {"topic": "pieces-of-two"},
}


def test_a_file_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """Every kind of setting: numbers, texts, and tables within tables."""
    written = RoleConfiguration(
        directory=tmp_path,
        ledger_id="ab" * 32,
        public="../public",
        partitions=7,
        kafka={"sasl.mechanism": "PLAIN", "ssl.key.pem": "-----BEGIN\n\t\x01\x7f\u00fc\U0001f600\n"},
        namespace_stores={"bank": "postgresql://user:secret@localhost/bank"},
        replicas=PLACES,
    )
    written.save()
    assert RoleConfiguration.load(tmp_path) == written
    assert (tmp_path / CONFIGURATION_FILE).stat().st_mode & 0o077 == 0


def test_settings_that_are_no_texts_are_kept(tmp_path: Path) -> None:
    """A file that a person wrote to is written again by `up`, with all that is in it."""
    RoleConfiguration(directory=tmp_path, ledger_id="ab" * 32, public="../public").save()
    file = tmp_path / CONFIGURATION_FILE
    file.write_text(
        file.read_text()
        + '[kafka]\n"socket.timeout.ms" = 5000\n"enable.ssl.certificate.verification" = false\n"x" = "y"\n'
    )
    loaded = RoleConfiguration.load(tmp_path)
    loaded.save()
    assert RoleConfiguration.load(tmp_path) == loaded
    settings: Mapping[str, object] = loaded.kafka
    assert settings == {"socket.timeout.ms": 5000, "enable.ssl.certificate.verification": False, "x": "y"}


def test_what_an_operator_wrote_stays(tmp_path: Path) -> None:
    """A file that says the same is left alone, its comments too; of one that changes, no setting is lost."""
    file = tmp_path / CONFIGURATION_FILE
    text = f'ledger_id = "{"ab" * 32}" # ours\npublic = "../public"\n[kafka]\n"a.ms" = 1000\n"b" = true\n'
    file.write_text(text)
    before = RoleConfiguration.load(tmp_path)
    before.save()
    assert file.read_text() == text
    changed = replace(before, bootstrap_servers="there:9092")
    changed.save()
    assert RoleConfiguration.load(tmp_path) == changed


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk what a role trusts is not cut off."""
    before = RoleConfiguration(directory=tmp_path, ledger_id="ab" * 32, public="../public")
    before.save()
    monkeypatch.setattr(os, "fsync", _refuse)
    with pytest.raises(OSError, match="No space"):
        replace(before, bootstrap_servers="there:9092").save()
    assert RoleConfiguration.load(tmp_path) == before


def _refuse(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_places_say_how_to_reach_each_replica() -> None:
    """Its own broker with its own settings, or the ledger's with another topic; the usual one elsewhere."""
    ledger = KafkaConnection(bootstrap="ledger:9092", prefix="p", options={"security.protocol": "SASL_SSL"})
    places = replica_places(PLACES)
    zero, two = places[0].connection(ledger), places[2].connection(ledger)
    assert (zero.bootstrap, zero.options["security.protocol"]) == ("a:9092", "SSL")
    assert zero.full_name(pieces_topic(0)) == "p.pieces.0"
    assert (two.bootstrap, two.options) == (ledger.bootstrap, ledger.options)
    assert two.full_name(pieces_topic(2)) == "pieces-of-two"
    for topic in (pieces_topic(2), pieces_topic(3), "decisions"):
        assert two.plain_name(two.full_name(topic)) == topic


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"two": {}}, "number"),
        ({"02": {}}, "number"),
        ({"-1": {}}, "number"),
        ({"1": "a:9092"}, "table"),
        ({"1": {"bootstrap": "a:9092"}}, "unknown setting bootstrap"),
        ({"1": {"topic": 7}}, "topic should be text"),
        ({"1": {"kafka": {"retries": 7}}}, "kafka should be text"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(table: dict[str, Any], said: str) -> None:
    """Each with what is wrong and where."""
    with pytest.raises(CountersignError, match=said) as raised:
        replica_places(table)
    assert raised.value.code == "config.invalid"


def test_places_must_fit_the_epoch() -> None:
    """Another key than the epoch's, and a replica that it has not, are refused before anything is read."""
    epochs = World().epochs
    key = epochs.latest.replica_keys[1].key.hex()
    check_places(replica_places({"1": {"public_key": key}}), epochs)
    check_places(replica_places({"1": {"public_key": key.upper()}}), epochs)
    with pytest.raises(CountersignError, match=r"\[replicas.2\]: public_key"):
        check_places(replica_places({"2": {"public_key": key}}), epochs)
    with pytest.raises(CountersignError, match="4 replicas"):
        check_places(replica_places({"4": {}}), epochs)


@pytest.mark.parametrize(
    "stores",
    [
        {"bank": "mysql://somewhere"},
        {"bank": ""},
        {"Bank account": "sqlite:///file"},
        {"bank": {"url": "sqlite:///file"}},
    ],
)
def test_a_namespace_without_a_store_is_refused(tmp_path: Path, stores: dict[str, Any]) -> None:
    """When the file is read, and not when the first record is."""
    RoleConfiguration(directory=tmp_path, ledger_id="ab" * 32, public="../public", namespace_stores=stores).save()
    with pytest.raises(CountersignError) as caught:
        RoleConfiguration.load(tmp_path)
    assert caught.value.code == "config.invalid"
