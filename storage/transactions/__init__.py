"""Transactions over any table stores, and across several: a pure core, and its two drivers."""
