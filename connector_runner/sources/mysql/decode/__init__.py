"""Decodes the values of columns, from the log and from query results. No I/O."""
