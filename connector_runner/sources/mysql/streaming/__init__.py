"""Following the log: the connection that it comes from, and the copy and the log as one stream."""
