"""What the programs share: flags, the run, the closing table, result rows, generated images."""
