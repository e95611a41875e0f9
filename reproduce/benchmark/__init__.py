"""How fast, beside the baselines: `python -m reproduce.benchmark`."""
