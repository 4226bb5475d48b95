"""Values of columns, decoded from the log and from query results. No I/O."""
