"""What the programs share: flags, the run, comparisons, tables, generated images."""
