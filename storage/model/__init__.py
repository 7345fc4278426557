"""The data model of the table stores: types, schemas, keys, predicates and operations. No store, no I/O."""
