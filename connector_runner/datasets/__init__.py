"""What all SQL sinks decide alike, without I/O: names, the order of operations, the fence, fitting tables, dead letters."""
