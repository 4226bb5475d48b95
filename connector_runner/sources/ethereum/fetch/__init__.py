"""Fetches verified contents of blocks by their numbers: single blocks, logs, prefetching, and reading blocks again."""
