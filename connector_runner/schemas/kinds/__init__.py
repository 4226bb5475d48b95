"""Connector and Dataset, declared once: what each field means, what it takes, what holds when it is absent.

`connector`, `connector_status` and `dataset` are the declarations, `naming` the rules of names. Derived from them: the custom
resource definitions, the HTTP API's schemas, the reference documents, the check of manifests by hand, and what the operator reads.
"""
