"""Names of the JSON-RPC methods that are used, by https://ethereum.github.io/execution-apis/."""

BLOCK = "eth_getBlockByNumber"
LOGS = "eth_getLogs"
RECEIPTS, RECEIPT = "eth_getBlockReceipts", "eth_getTransactionReceipt"
CALL_TREES, FLAT_TRACES = TRACE_METHODS = "debug_traceBlockByHash", "trace_block"
"""The ways to a block's traces: geth's, and that of the others."""
CALL_TRACER = {"tracer": "callTracer"}
"""What `CALL_TREES` is to do."""
HEAD_NUMBER, CHAIN_ID = "eth_blockNumber", "eth_chainId"
