"""JSON-RPC with one endpoint: requests and raw answers over HTTP, websockets and IPC, and the meaning of refusals."""
