"""The COINBASE source."""

from connector_runner.protocols.source import Source, SourceContext
from connector_runner.sources.coinbase.source import CoinbaseSource

__all__ = ["build_source"]


def build_source(context: SourceContext) -> Source:
    """See `connector_runner.protocols.source`."""
    return CoinbaseSource(context)
