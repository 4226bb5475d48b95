"""Connector and Dataset, declared once: the meaning, limits and default of each field.

`connector`, `connector_status` and `dataset` are the declarations, `naming` has the rules for names. Derived from them: the custom
resource definitions, the HTTP API's schemas, the reference documents, the check of manifests by hand, and what the operator reads.
"""
