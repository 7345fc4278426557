"""Measuring dispersal: bytes, decodings and speed of real replicas and learners, beside the paper's exact figures."""
