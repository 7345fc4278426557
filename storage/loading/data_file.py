"""Data files: rows as CSV with a header, or as JSON lines.

A file is read row by row; a row is bounded, so memory is.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import IO, NamedTuple, Protocol

from protocol.errors import CountersignError
from storage.loading.row_text import from_json, json_value, text_value, value_text
from storage.model.data_types import Value
from storage.model.errors import InvalidOperationError
from storage.model.operations import Row
from storage.model.schema import TableSchema

ROW_CHARACTERS_MAX = 32 * 2**20


class DataFormat(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSON_LINES = "jsonl"

    @classmethod
    def of_file(cls, name: str) -> "DataFormat":
        """What a file's name says: `.csv`, or JSON lines."""
        return cls.CSV if name.lower().endswith(".csv") else cls.JSON_LINES


class FileRow(NamedTuple):
    """A row of a file, or what was wrong with it.

    Attributes:
        line: the number of its last line, from 1.
        text: the row as it stood, for a file of rejects.
        values: by column; None: it is no row.
        error: why.
        columns: of the file's header, if it has one.
    """

    line: int
    text: str
    values: dict[str, Value | None] | None
    error: CountersignError | None = None
    columns: tuple[str, ...] = ()


def read_rows(file: IO[str], data_format: DataFormat, schema: TableSchema) -> Iterator[FileRow]:
    """The rows of a file.

    Raises:
        InvalidOperationError: `data.line_invalid`: the file cannot be read any further.
    """
    return _csv_rows(file, schema) if data_format is DataFormat.CSV else _json_rows(file, schema)


class RowWriter(Protocol):
    """Writes rows to a file."""

    def __call__(self, row: Row) -> None:
        """Write one."""
        ...


def row_writer(file: IO[str], data_format: DataFormat, columns: Sequence[str]) -> RowWriter:
    """What writes rows with these columns; the header of CSV is written at once."""
    if data_format is DataFormat.CSV:
        writer = csv.writer(file)
        writer.writerow(columns)
        return lambda row: writer.writerow([value_text(row[name]) for name in columns])

    def write(row: Row) -> None:
        form = {name: json_value(row[name]) for name in columns}
        file.write(json.dumps(form, ensure_ascii=False, separators=(",", ":")) + "\n")

    return write


def header_of(columns: Sequence[str]) -> str:
    """The first line of a CSV file with these columns."""
    return ",".join(columns) + "\r\n"


def _csv_rows(file: IO[str], schema: TableSchema) -> Iterator[FileRow]:
    kept: list[str] = []
    csv.field_size_limit(ROW_CHARACTERS_MAX)
    reader = csv.reader(_keeping(file, kept), strict=True)
    columns: list[str] | None = None
    while True:
        kept.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InvalidOperationError("data.line_invalid", f"line {reader.line_num}: {error}") from error
        if columns is None:
            columns = fields
            _check_columns(columns, schema)
            continue
        if not fields:
            continue  # an empty line
        text = "".join(kept)
        try:
            if len(fields) != len(columns):
                detail = f"{len(fields)} fields, and {len(columns)} columns"
                raise InvalidOperationError("data.line_invalid", detail)
            values = {
                name: text_value(schema.columns[name], field) for name, field in zip(columns, fields, strict=True)
            }
        except InvalidOperationError as error:
            yield FileRow(reader.line_num, text, None, error, tuple(columns))
        else:
            yield FileRow(reader.line_num, text, values, None, tuple(columns))


def _json_rows(file: IO[str], schema: TableSchema) -> Iterator[FileRow]:
    for line, text in enumerate(_lines(file), start=1):
        if not text.strip():
            continue
        try:
            values = _json_row(text, schema)
        except InvalidOperationError as error:
            yield FileRow(line, text, None, error)
        else:
            yield FileRow(line, text, values)


def _json_row(text: str, schema: TableSchema) -> dict[str, Value | None]:
    try:
        form = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidOperationError("data.line_invalid", f"no JSON: {error}") from error
    if not isinstance(form, dict):
        raise InvalidOperationError("data.line_invalid", "no JSON object")
    _check_columns(list(form), schema)
    return {name: from_json(schema.columns[name], plain) for name, plain in form.items()}


def _check_columns(columns: Sequence[str], schema: TableSchema) -> None:
    """Refuse unknown columns, and rows without the whole key.

    Raises:
        InvalidOperationError: `column.unknown`, `key.incomplete`, `data.line_invalid`.
    """
    for name in columns:
        if name not in schema.columns:
            raise InvalidOperationError("column.unknown", f"{schema.name} has no column {name[:64]}")
    if len(set(columns)) < len(columns):
        raise InvalidOperationError("data.line_invalid", "a column stands twice")
    missing = [name for name in schema.key_columns if name not in columns]
    if missing:
        raise InvalidOperationError("key.incomplete", f"{schema.name} wants {', '.join(missing)}")


def _lines(file: IO[str]) -> Iterator[str]:
    while line := file.readline(ROW_CHARACTERS_MAX):
        if len(line) == ROW_CHARACTERS_MAX and not line.endswith("\n"):
            raise InvalidOperationError("data.line_invalid", f"a line is longer than {ROW_CHARACTERS_MAX} characters")
        yield line


def _keeping(file: IO[str], kept: list[str]) -> Iterable[str]:
    """The lines of a file, each kept until the row it belongs to is read; a row's are bounded together."""
    for line in _lines(file):
        kept.append(line)
        if len(kept) > 1 and sum(map(len, kept)) > ROW_CHARACTERS_MAX:
            raise InvalidOperationError("data.line_invalid", f"a row is longer than {ROW_CHARACTERS_MAX} characters")
        yield line
