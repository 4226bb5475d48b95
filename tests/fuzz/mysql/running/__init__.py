"""Doing a history: sessions on a real server, connectors into SQLite, many histories side by side."""
