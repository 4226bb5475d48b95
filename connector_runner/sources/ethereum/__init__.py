"""The ETHEREUM source: blocks, transactions, receipts, logs, token transfers, withdrawals and traces of a node, as one chain."""

from connector_runner.protocols.source import Source, SourceContext


def build_source(context: SourceContext) -> Source:
    """Builds the source from its configuration; does no I/O.

    Raises:
        InvalidConfigError: The configuration breaks a rule that the schema can't express.
    """
    from connector_runner.sources.ethereum.source import EthereumSource  # late: the schema alone needs no client

    return EthereumSource(context)
