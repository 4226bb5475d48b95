"""One visit of one object: observe, decide, write the status once, act. Only glue; nothing is decided here."""
