"""Data files: every value of every type comes back equal, and what is wrong is told with its line."""

import io
from itertools import zip_longest

import pytest

from storage.loading.data_file import DataFormat, read_rows, row_writer
from storage.loading.row_text import NULL, from_json, text_value
from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError
from storage.model.schema import TableName, TableSchema
from tests.table_samples import ASCENDING

ALL = TableSchema(
    name=TableName("test", "all"),
    columns={"id": DataType.INT} | {f"c_{kind}": kind for kind in DataType},
    partition_key=("id",),
)
SMALL = TableSchema(
    name=TableName("test", "small"), columns={"id": DataType.INT, "note": DataType.TEXT}, partition_key=("id",)
)
TEXTS = ("", NULL, "\\", "\\\\N", 'a "b", c', "two\nlines", "a\rb", "a\r\nb", " ", ",", "#", "é\u2028")


@pytest.mark.parametrize("data_format", list(DataFormat))
def test_every_value_comes_back(data_format: DataFormat) -> None:
    """The extremes of every type, nulls, and texts that look like something else."""
    samples = {**ASCENDING, DataType.TEXT: (*ASCENDING[DataType.TEXT], *TEXTS)}
    columns = [samples[kind] for kind in DataType]
    rows = [
        {"id": number} | {f"c_{kind}": value for kind, value in zip(DataType, values, strict=True)}
        for number, values in enumerate(zip_longest(*columns))
    ]
    file = io.StringIO(newline="")
    write = row_writer(file, data_format, tuple(ALL.columns))
    for row in rows:
        write(row)
    file.seek(0)
    assert [row.values for row in read_rows(file, data_format, ALL)] == rows


def _read(text: str, data_format: DataFormat) -> list[tuple[int, str]]:
    file = io.StringIO(text, newline="")
    return [(row.line, row.error.code if row.error else "") for row in read_rows(file, data_format, SMALL)]


def test_errors_of_csv_have_their_line() -> None:
    """Lines count as an editor counts them, over texts of several lines and empty ones."""
    text = 'id,note\r\n1,"a\r\nb"\r\n\r\nx,c\r\n3\r\n4,d\\\r\n5,\\d\r\n'
    assert _read(text, DataFormat.CSV) == [
        (3, ""),
        (5, "value.wrong_type"),
        (6, "data.line_invalid"),
        (7, ""),
        (8, "value.wrong_type"),
    ]


def test_errors_of_json_lines_have_their_line() -> None:
    """Broken JSON, other values than objects, unknown columns, missing keys, wrong types."""
    lines = ('{"id":1}', "", "{", "[1]", '{"id":1,"x":2}', '{"note":"a"}', '{"id":"1"}', '{"id":true}', "[" * 100_000)
    assert _read("\n".join(lines), DataFormat.JSON_LINES) == [
        (1, ""),
        (3, "data.line_invalid"),
        (4, "data.line_invalid"),
        (5, "column.unknown"),
        (6, "key.incomplete"),
        (7, "value.wrong_type"),
        (8, "value.wrong_type"),
        (9, "data.line_invalid"),
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("note\n", "key.incomplete"),
        ("id,id\n", "data.line_invalid"),
        ("id,other\n", "column.unknown"),
        ('id,note\n1,"a', "data.line_invalid"),
    ],
)
def test_a_csv_file_that_cannot_be_read_on_is_an_error(text: str, code: str) -> None:
    """A wrong header, or a quotation that has no end."""
    with pytest.raises(InvalidOperationError) as caught:
        _read(text, DataFormat.CSV)
    assert caught.value.code == code


def test_an_endless_line_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is endless because its quotation is."""
    monkeypatch.setattr("storage.loading.data_file.ROW_CHARACTERS_MAX", 100)
    for text in ("id,note\n1," + "a" * 200, 'id,note\n1,"' + "a\n" * 200):
        with pytest.raises(InvalidOperationError, match="longer than 100"):
            _read(text, DataFormat.CSV)
    with pytest.raises(InvalidOperationError, match="longer than 100"):
        _read('{"id":1,"note":"' + "a" * 200, DataFormat.JSON_LINES)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (DataType.INT, "1_000"),
        (DataType.INT, "\u0661"),
        (DataType.INT, ""),
        (DataType.INT, "9" * 10_000),
        (DataType.BIGINT, "1.5"),
        (DataType.DOUBLE, "nan"),
        (DataType.DECIMAL, "Infinity"),
        (DataType.DECIMAL, "1e99999999"),
        (DataType.BOOLEAN, "True"),
        (DataType.BLOB, "a_b"),
        (DataType.DATE, "2026-02-30"),
        (DataType.TIMESTAMPTZ, "2026-02-03T00:00:00"),
        (DataType.TIMESTAMP, "2026-02-03T00:00:00Z"),
    ],
)
def test_what_is_no_value_is_refused(kind: DataType, text: str) -> None:
    """In both formats."""
    for read in (text_value, from_json):
        with pytest.raises(InvalidOperationError) as caught:
            read(kind, text)
        assert caught.value.code in ("value.wrong_type", "value.out_of_range")


def test_json_integers_are_numbers_of_any_kind() -> None:
    """JSON does not tell 1 from 1.0."""
    assert from_json(DataType.DOUBLE, 1) == 1.0
