"""What drives visits: a fair queue of keys, workers, delays and backoff. Knows nothing of connectors."""
