"""A commit of a Delta table that is tried once, from the state that was read."""

from __future__ import annotations

from deltalake import CommitProperties, Transaction

RECORD = "connectorRunner"
"""The member of a commit's information that says who wrote it, and the position after it."""


def commit_once(record: str, app: str = "", version: int = 0) -> CommitProperties:
    """Properties of a commit that fails if anybody has committed since the table was read."""
    transactions = [Transaction(app, version)] if app else None
    return CommitProperties(custom_metadata={RECORD: record}, app_transactions=transactions, max_commit_retries=0)
