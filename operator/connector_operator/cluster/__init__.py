"""Access to the cluster: one module reads it, one writes to it."""
