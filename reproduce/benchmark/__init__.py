"""Throughput beside others: `python -m reproduce.benchmark`."""
