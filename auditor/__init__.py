"""The Auditor: orders requests, and validates and countersigns what the Ledger made of them.

Two pure machines over one store: `order.OrderMachine` and `validate.ValidateMachine`.
"""
