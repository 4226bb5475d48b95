"""Datasets over a blocking driver: the sink, the row writer and the inspector, for any SQL dialect."""
