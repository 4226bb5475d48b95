"""The ETHEREUM source: blocks, transactions, receipts, logs, token transfers, withdrawals and traces of a node, as one chain."""

from connector_runner.protocols.source import Source, SourceContext


def build_source(context: SourceContext) -> Source:
    """A source by its configuration; does no I/O.

    Raises:
        InvalidConfigError: What the schema could not say is wrong.
    """
    from connector_runner.sources.ethereum.source import EthereumSource  # late: the schema alone needs no client

    return EthereumSource(context)
