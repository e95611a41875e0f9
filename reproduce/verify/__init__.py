"""`python -m reproduce.verify`: rows of results, run again and compared."""
