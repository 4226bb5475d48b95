"""Following the log: the connection that delivers it, and the copy and the log merged into one stream."""
