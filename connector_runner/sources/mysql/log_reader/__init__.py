"""Transactions on the followed tables, put together from the events of the log. No I/O."""
