"""Combines the configured endpoints: which one is in use, the limits of each, the chain that it is on, and what it offers."""
