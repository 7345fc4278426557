"""The SQL views say what plain Python says of the same rows, at every sequence, however they were stored."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from storage.duckdb_views import DuckDbViews
from storage.views import RequestRow, VersionRow
from tests.reference.view_batches import LEDGER_ID, Batches, Block
from tests.reference.views import PlainViews

KEYS = st.sampled_from(["a", "b", "ü", "key with 'quotes'", "\0", "", "🙂" * 40])
VALUES = st.none() | st.sampled_from(
    [b"1", b'"x"', b'{"n":null}', b"[]", b'"\\u0000"', b'"' + b"y" * 3000 + b'"']
)
UPDATES = st.lists(
    st.lists(st.tuples(KEYS, VALUES), max_size=3, unique_by=lambda write: write[0]), max_size=4
)
BLOCKS = st.lists(UPDATES, min_size=1, max_size=3)
BATCHES = st.lists(st.lists(BLOCKS, min_size=1, max_size=3), max_size=6)


def shown_version(row: VersionRow) -> tuple[Any, ...]:
    namespace, key, version, deleted, value, record_hash, sequence, index, request_id = row
    text = None if value is None else value.decode()
    names = (namespace.decode(), key.decode())
    return (*names, version, deleted, text, sequence, index, request_id.hex(), record_hash.hex())


def shown_request(row: RequestRow) -> tuple[Any, ...]:
    (
        request_id,
        sequence,
        index,
        entity,
        contract,
        version,
        status,
        code,
        fail_text,
        at_ms,
        argument,
        output,
    ) = row
    caller = (request_id.hex(), sequence, index, entity.decode(), contract.decode(), version)
    ordered_at = datetime.fromtimestamp(at_ms / 1000, UTC).replace(tzinfo=None).isoformat()
    result = (status, code.decode(), fail_text.decode(), ordered_at, argument.decode())
    return (*caller, *result, None if output is None else output.decode())


def by_key(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=repr)


def assert_same(views: DuckDbViews, plain: PlainViews) -> None:
    assert views.position() == plain.position()
    assert by_key(views.query("FROM records").rows) == by_key(map(shown_version, plain.records().values()))
    history = views.query("FROM history ORDER BY sequence, index")
    assert by_key(history.rows) == by_key(map(shown_version, plain.history))
    assert history.sequence == plain.position().sequence
    requests = views.query("FROM requests")
    assert by_key(requests.rows) == by_key(map(shown_request, plain.requests))
    blocks = views.query("SELECT block, first_sequence, count, epoch, root FROM blocks ORDER BY block")
    assert list(blocks.rows) == [
        (block.block, block.first_sequence, block.count, block.epoch, block.root.hex())
        for block in plain.blocks
    ]


def assert_same_past(views: DuckDbViews, plain: PlainViews, sequence: int) -> None:
    records = by_key(map(shown_version, plain.records(sequence).values()))
    past = views.query("FROM records", as_of=sequence)
    assert by_key(past.rows) == records
    assert past.sequence == sequence
    assert by_key(views.query(f"FROM records_as_of({sequence})").rows) == records
    for view, rows in (
        ("history", [row[6] for row in plain.history]),
        ("requests", [row[1] for row in plain.requests]),
    ):
        ((count,),) = views.query(f"SELECT count(*) FROM {view}", as_of=sequence).rows
        assert count == sum(written <= sequence for written in rows)
    ((blocks,),) = views.query("SELECT count(*) FROM blocks", as_of=sequence).rows
    assert blocks == sum(block.first_sequence + block.count - 1 <= sequence for block in plain.blocks)


@settings(max_examples=20)
@given(BATCHES, st.sampled_from([1, 5, 1000]), st.data())
def test_views_equal_their_plain_twin(
    batches: list[list[Block]], merge_versions: int, data: st.DataObject
) -> None:
    """After any appends, with records brought up to date often or never, and the file opened anew in between."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "views.duckdb"
        plain, maker = PlainViews(), Batches()
        views = DuckDbViews(path, LEDGER_ID, merge_versions=merge_versions, readers=1)
        try:
            for blocks in batches:
                rows, position = maker.of(blocks)
                views.append(rows, position)
                plain.append(rows, position)
                if data.draw(st.integers(0, 4)) == 0:
                    views.close()
                    views = DuckDbViews(path, LEDGER_ID, merge_versions=merge_versions, readers=1)
                    assert_same(views, plain)
            assert_same(views, plain)
            if plain.position().sequence >= 0:
                assert_same_past(views, plain, data.draw(st.integers(0, plain.position().sequence)))
        finally:
            views.close()
