"""Transactions on the followed tables, assembled from the events of the log. No I/O."""
