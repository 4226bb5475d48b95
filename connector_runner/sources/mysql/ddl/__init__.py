"""DDL: what the statements in the log do to a table, read from their text. No I/O."""
