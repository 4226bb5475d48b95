"""`make generate`: custom resource definitions and the generated parts of documents, from schemas and tables."""
