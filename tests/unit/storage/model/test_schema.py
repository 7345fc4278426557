"""What can be a table, how it is altered, and its form as plain values."""

import json
from typing import Any

import pytest

from storage.model.altering import altered
from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError
from storage.model.schema import AddColumn, ClusteringColumn, DropColumn, Order, RenameColumn, TableName, TableSchema
from storage.model.schema_form import read_schema, schema_form
from tests.table_samples import every_type, ordered

PLAIN: dict[str, Any] = {
    "name": TableName("bank", "accounts"),
    "columns": {"id": DataType.INT, "owner": DataType.TEXT},
    "partition_key": ("id",),
}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": TableName("Bank", "accounts")},
        {"name": TableName("bank", "")},
        {"name": TableName("bank", "x" * 49)},
        {"name": TableName("bank", "1st")},
        {"columns": {"id": DataType.INT, 'a"b': DataType.TEXT}},
        {"columns": {"id": DataType.INT, **{f"c{n}": DataType.INT for n in range(200)}}},
        {"partition_key": ()},
        {"partition_key": ("id", "id")},
        {"partition_key": ("nobody",)},
        {"clustering_key": (ClusteringColumn("id"),)},
        {"clustering_key": (ClusteringColumn("nobody", Order.DESC),)},
        {"indexes": ("id",)},
        {"indexes": ("nobody",)},
        {"indexes": ("owner", "owner")},
    ],
)
def test_what_is_no_table(changes: dict[str, Any]) -> None:
    """Is refused where it is made, with one code."""
    with pytest.raises(InvalidOperationError) as refused:
        TableSchema(**PLAIN | changes)
    assert refused.value.code == "schema.invalid"


def test_indexes_have_no_order() -> None:
    """Two schemas that name them in another order are the same."""
    columns = {"id": DataType.INT, "a": DataType.INT, "b": DataType.INT}
    one, other = (TableSchema(**PLAIN | {"columns": columns, "indexes": i}) for i in (("a", "b"), ("b", "a")))
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize("schema", [TableSchema(**PLAIN), every_type(), ordered((DataType.BLOB, Order.DESC))])
def test_its_form_goes_through_json(schema: TableSchema) -> None:
    """And comes back equal, columns in their order."""
    back = read_schema(json.loads(json.dumps(schema_form(schema))))
    assert back == schema
    assert list(back.columns) == list(schema.columns)


@pytest.mark.parametrize("form", [{}, {"namespace": "a"}, schema_form(every_type()) | {"columns": [["id", "integer"]]}])
def test_what_is_no_form_of_a_schema(form: dict[str, Any]) -> None:
    """Is refused with a code, whatever is wrong with it."""
    with pytest.raises(InvalidOperationError) as refused:
        read_schema(form)
    assert refused.value.code == "schema.invalid"


def test_an_alteration_makes_another_schema() -> None:
    """The one there was stays as it is."""
    schema = TableSchema(**PLAIN | {"indexes": ("owner",)})
    wider = altered(schema, AddColumn(name="age", data_type=DataType.INT))
    assert list(wider.columns) == ["id", "owner", "age"]
    assert altered(schema, DropColumn(name="owner")) == TableSchema(**PLAIN | {"columns": {"id": DataType.INT}})
    renamed = altered(
        altered(schema, RenameColumn(name="id", new_name="number")), RenameColumn(name="owner", new_name="o")
    )
    assert (list(renamed.columns), renamed.partition_key, renamed.indexes) == (["number", "o"], ("number",), ("o",))
    assert schema == TableSchema(**PLAIN | {"indexes": ("owner",)})
