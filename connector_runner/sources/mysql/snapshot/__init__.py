"""Reading a table itself: in chunks with their position in the log, or by polling without the log."""
