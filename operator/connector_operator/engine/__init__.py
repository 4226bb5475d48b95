"""The engine of visits: a fair queue of keys, workers, delays and backoff. Knows nothing about connectors."""
