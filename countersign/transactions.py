"""ACID transactions over any store, for users of the storage layer alone.

Open stores with `open_table_store`, hand them to a `TransactionManager`, and let `run` try again after conflicts;
`examples/transfer.py` shows the first steps, `docs/transactions.md` the rest.
"""

from storage.model.data_types import DataType
from storage.model.operations import Bound, GetByIndex, Key, Scan, ScanAll, ScanByIndex
from storage.model.predicates import AllOf, AnyOf, Comparison, Operator, equals
from storage.model.schema import ClusteringColumn, Order, TableName, TableSchema
from storage.tables.port import TableStore
from storage.tables.registry import open_table_store
from storage.transactions.async_manager import AsyncTransaction, AsyncTransactionManager
from storage.transactions.errors import (
    ConditionNotMetError,
    RecordExistsError,
    TransactionConflictError,
    TransactionUnknownError,
)
from storage.transactions.services import JoinedTransactions, Participant, ServicesTransaction
from storage.transactions.settings import Isolation, TransactionSettings
from storage.transactions.transaction_manager import Outcome, Transaction, TransactionManager

__all__ = [
    "AllOf",
    "AnyOf",
    "AsyncTransaction",
    "AsyncTransactionManager",
    "Bound",
    "ClusteringColumn",
    "Comparison",
    "ConditionNotMetError",
    "DataType",
    "GetByIndex",
    "Isolation",
    "JoinedTransactions",
    "Key",
    "Operator",
    "Order",
    "Outcome",
    "Participant",
    "RecordExistsError",
    "Scan",
    "ScanAll",
    "ScanByIndex",
    "ServicesTransaction",
    "TableName",
    "TableSchema",
    "TableStore",
    "Transaction",
    "TransactionConflictError",
    "TransactionManager",
    "TransactionSettings",
    "TransactionUnknownError",
    "equals",
    "open_table_store",
]
