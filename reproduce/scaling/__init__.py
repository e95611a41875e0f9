"""How far training scales over many GPUs: `python -m reproduce.scaling`."""
