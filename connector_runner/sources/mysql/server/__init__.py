"""The server: connections, facts about it, definitions of tables, and the checks before a table is read."""
