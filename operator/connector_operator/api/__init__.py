"""The Connectors API over HTTP: a thin translation to Connector resources, which keeps no state and has no rights of its own.

Every call is made as the caller, with the caller's token, so that Kubernetes' own access rules decide. The pure modules
define what is requested and what is answered (`identity`, `schemas`, `requests`, `patches`, `responses`, `problems`,
`openapi`); `cluster` sends requests to the API server, `service` puts both together, `server` is the HTTP around them.
"""
