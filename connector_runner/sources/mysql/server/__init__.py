"""The server: connections, what it says of itself, definitions of tables, what must hold before a table is read."""
