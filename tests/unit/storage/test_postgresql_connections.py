"""What PostgreSQL's address tells: the place, and never the password."""

import traceback

import pytest

from protocol.errors import CountersignError
from storage.postgresql_connections import PostgresqlConnections, place_of
from storage.tables.postgresql_tables import PostgresqlTables


def test_a_place_has_no_password() -> None:
    """What people are shown of an address says where it is, however the password is given."""
    assert place_of("postgresql://ann:sesame@db.example:5433/bank") == "user=ann host=db.example port=5433 dbname=bank"
    assert "sesame" not in place_of("postgresql://db.example/bank?user=ann&password=sesame")
    assert "sesame" not in place_of("postgresql://ann:sesame@one.example:5433,two.example:5434/bank")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:ses%zzame@127.0.0.1:1/bank",
        "postgresql://ann:ses ame@127.0.0.1:1/bank",
        "postgresql://ann:sesame@[::1/bank",
        "postgresql://ann:tes@same@127.0.0.1:1/bank",
        "postgresql://ann:same/tes@127.0.0.1:1/bank",
        "postgresql://ann:sesame@127.0.0.1:1/bank?colour=red",
    ],
)
def test_an_address_that_cannot_be_read_is_not_quoted(url: str) -> None:
    """Neither the error nor its traceback repeats a part of the password, and the code is that of bad settings."""
    for opened in (lambda: PostgresqlConnections(url, {}), lambda: PostgresqlTables(url)):
        with pytest.raises(CountersignError, match=r"config\.invalid") as caught:
            opened()
        assert caught.value.__cause__ is None
        told = "".join(traceback.format_exception_only(caught.value)) + str(caught.value)
        assert not any(part in told for part in ("ses", "same", "zzame", "ame@", "tes@"))
