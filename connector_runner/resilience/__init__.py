"""Handling a server that fails or limits requests: backoff, rate limit, Retry-After. Pure: clock and randomness are passed in."""
