"""Analysis of networks and their results."""
