"""The dashboard: what flows, what lags, who is suspected and who is exposed, on one page on loopback.

`watch` and `evidence_watch` read the log, `board` holds what they saw, `server` shows it, `process` runs all.
"""
