"""Dispersal to any number of learners: the erasure code, the replica machine, the learner machine."""
