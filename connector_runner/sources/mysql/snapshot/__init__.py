"""Reading a table itself: in chunks with their place in the log, or again and again without the log."""
