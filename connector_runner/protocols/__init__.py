"""The contracts between sources, the pipeline and sinks: values and protocols, no I/O.

Read them in this order: `types` (what a value is), `schema` (what a row is), `batch` (what moves), `errors` (what may go
wrong, grouped by how one recovers), `source` and `sink` (who speaks to whom).
"""
