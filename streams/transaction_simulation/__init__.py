"""Deterministic simulation of transactions: many clients of the transaction manager over simulated stores, with a
crash, a timeout, a lost acknowledgement or a delay at any storage call, and histories checked for what each isolation
level promises.

`streams.transaction_simulation.run` is the way in.
"""
