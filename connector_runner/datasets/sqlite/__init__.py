"""SQLite files: the ledger of every dataset that is no database of its own, and the SQLite dataset itself."""
