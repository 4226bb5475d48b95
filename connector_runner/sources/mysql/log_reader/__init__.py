"""One table's transactions, put together from the events of the log. No I/O."""
