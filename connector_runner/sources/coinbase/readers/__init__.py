"""From messages to rows, one reader for each kind of stream, without I/O."""
