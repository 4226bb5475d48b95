"""Read → queue → transaction → commit: what every source and sink have in common.

`reader` opens and reads the source, `queue` bounds what is buffered, `writer` makes transactions and confirms them, `engine`
runs them together until the stream ends or a stop is requested.
"""
