"""The binary log, from bytes to events and rows. No I/O."""
