"""Datasets over a driver that blocks: the sink, the writer of rows and the inspector, in any dialect."""
