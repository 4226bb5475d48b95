"""SQLite files: the ledger of every dataset that is not a database, and the SQLite dataset itself."""
