"""Proves that answers are complete, by hashes, counts, roots and blooms; knows which chains lack some of these. Pure."""
