"""The stream `matches`: every trade once, proven by its ids, without I/O."""
