"""The Connectors API over HTTP: a thin translation to Connector resources, which keeps no state and has no rights of its own.

Every call is made as the caller, with the caller's token, so that Kubernetes' own access rules decide. The pure parts say what
is asked and what is answered (`identity`, `schemas`, `requests`, `patches`, `responses`, `problems`, `openapi`); `cluster` carries
requests to the API server, `service` puts both together, `server` is the HTTP around them.
"""
