"""Contracts: deterministic functions over records, executed alike by every party."""
