"""Evidence: self-contained proofs that some party misbehaved, built by parties and judged by anybody offline.

`verify` judges, `kinds` is the table of what there is, `build` makes files out of raw messages, `disputes`
serves the Auditor and `objections` the Ledger.
"""
