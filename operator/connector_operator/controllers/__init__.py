"""One visit of one object: observe, decide, write the status once, act. The glue; nothing is decided here."""
