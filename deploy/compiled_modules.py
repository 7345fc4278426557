"""The modules that set-up compiles to C where there is a compiler; the same sources run as plain Python where not.

What belongs on the list:

1. It is hot: requests pass through it, and compiling it was measured to save CPU time.
2. Its own code is what takes the time. Where a library, a socket or the contracts' engine does, nothing is gained.
3. It does not recurse over what another party sends, unless the depth is bounded first: compiled code does not look at
   the interpreter's recursion limit. (`protocol.canonical_json` recurses at most `DEPTH_MAX` deep.)
4. It is no program: a compiled module cannot be run by its name, as the executor's child is.
5. Its annotations are true, for compiled code requires them: a call with another type raises TypeError. No function
   of it is replaced from outside by name, and no class gets attributes that it does not declare.
6. A class stands on the list with all its subclasses, or not at all: an interpreted class cannot inherit from a
   compiled one. So all machines are here beside `storage.machine`, also those that are not hot. (The decorator that
   would allow it is in a package that nothing else needs at run time, and such classes are called more slowly.)
"""

COMPILED = (
    "schemas.binary",
    "schemas.leaves",
    "schemas.request_values",
    "schemas.slices",
    "protocol.batches",
    "protocol.canonical_json",
    "protocol.contracts.calls",
    "protocol.contracts.engine",
    "protocol.contracts.execution",
    "protocol.contracts.host",
    "protocol.contracts.names",
    "protocol.contracts.overlay",
    "protocol.contracts.registry",
    "protocol.contracts.transaction",
    "protocol.countersigned",
    "protocol.hashing",
    "protocol.journal",
    "protocol.json_text",
    "protocol.merkle",
    "protocol.records",
    "protocol.requests",
    "protocol.signatures",
    "storage.effects",
    "storage.events",
    "storage.machine",
    "storage.messages",
    "storage.ports",
    "storage.record_changes",
    "storage.redis_layout",
    "storage.redis_store",
    "storage.views",
    "auditor.batch",
    "auditor.candidates",
    "auditor.order",
    "auditor.rejections",
    "auditor.send",
    "auditor.state",
    "auditor.validate",
    "ledger.commit",
    "ledger.decisions",
    "ledger.learned_updates",
    "ledger.orders",
    "ledger.rebuild",
    "ledger.send",
    "ledger.state",
    "learners.block_reader",
    "learners.blocks",
    "learners.checksums",
    "learners.dispersal",
    "learners.intake",
    "learners.journal",
    "learners.learner",
    "learners.own_pieces",
    "learners.pieces",
    "learners.reconstruction",
    "learners.recovery",
    "learners.replica",
    "learners.rows",
    "learners.search",
    "learners.updates",
    "learners.window",
    "streams.client_receipts",
    "streams.client_requests",
    "streams.executor_wire",
)
"""By their dotted names, from the lowest package to the highest."""
