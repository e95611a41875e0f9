"""Analysis: looking into networks and their results."""
