"""What the programs share: the short run of --smoke, result rows, tables, generated images."""
