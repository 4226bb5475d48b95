"""The cluster at arm's length: one module reads it, one writes to it."""
