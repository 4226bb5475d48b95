"""The commands of `connector-runner`, one module each."""
