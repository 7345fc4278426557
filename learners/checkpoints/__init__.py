"""Checkpoints inside a Byzantine cluster: how replicas that were left in the dark come to the journal (seed paper 4.2).

A *checkpoint* is one block of the journal, made known to every replica. `checkpoint` is the port, `dispersed` the
paper's way; `broadcast` and `pulled` are what it is compared with; `cluster` is a PBFT-style cluster to run them in.
"""
