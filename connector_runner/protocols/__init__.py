"""The contracts between sources, the pipeline and sinks: values and protocols, no I/O.

Read them in this order: `types` (values), `schema` (rows), `batch` (what moves through the pipeline), `errors` (what may go
wrong, grouped by how one recovers), `source` and `sink` (the two sides of the pipeline).
"""
