"""The Ledger: executes what the Auditor ordered, on its own records, and signs what came of it.

One pure machine over one store: `commit.CommitMachine`.
"""
