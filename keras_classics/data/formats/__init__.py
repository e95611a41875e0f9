"""Readers of the files that hold data sets, a format a module. None unpacks to the disk."""
