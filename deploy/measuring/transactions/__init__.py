"""Measuring the transaction manager on real stores, beside the same work written by hand for each of them."""
