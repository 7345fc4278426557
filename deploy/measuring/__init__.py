"""Measuring a whole ledger on this machine: load, latency, CPU per request, memory."""
