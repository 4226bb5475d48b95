"""The REST interface: its client, and the backfill of missed trades."""
