"""Deterministic simulation: the real machines over a log and stores in memory, under every trouble that is
expected of the world, checked after every step against a reference that executes each batch once.

`streams.simulation.run` is the way in.
"""
