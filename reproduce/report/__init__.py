"""Pages, tables and figures, rendered from rows of results: `python -m reproduce.report`."""
