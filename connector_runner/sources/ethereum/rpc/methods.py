"""Names of the JSON-RPC methods in use, see https://ethereum.github.io/execution-apis/."""

BLOCK = "eth_getBlockByNumber"
LOGS = "eth_getLogs"
RECEIPTS, RECEIPT = "eth_getBlockReceipts", "eth_getTransactionReceipt"
CALL_TREES, FLAT_TRACES = TRACE_METHODS = "debug_traceBlockByHash", "trace_block"
"""The methods for a block's traces: geth's, and that of other nodes."""
CALL_TRACER = {"tracer": "callTracer"}
"""Options of `CALL_TREES`."""
HEAD_NUMBER, CHAIN_ID = "eth_blockNumber", "eth_chainId"
