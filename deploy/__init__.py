"""How Countersign is run: command line, configuration, keys, one entry per role, the local stack.

The only package that reads the environment. Nothing of it runs under `python -O`: assertions guard our own
invariants, and a party that signs must not run without them.
"""

if not __debug__:
    raise SystemExit("countersign does not run without its assertions: leave out `-O` and PYTHONOPTIMIZE")
