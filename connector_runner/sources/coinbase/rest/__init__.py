"""The REST interface: its client, and the trades that it fills in."""
