"""How to behave towards a server that fails or limits: backoff, rate limit, Retry-After. Pure: clock and chance are passed in."""
