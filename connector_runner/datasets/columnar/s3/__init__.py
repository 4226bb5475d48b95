"""Objects in buckets: a client for what the libraries of lake tables do not do, and what its errors mean."""
