"""A real Kafka and real Valkeys on this machine, without root and without an installed Java.

`stack.LocalStack` is the way in. Everything listens on loopback, at free ports, and is gone after `stop`.
"""
