"""The COINBASE source."""
