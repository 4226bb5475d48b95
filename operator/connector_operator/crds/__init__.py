"""What is generated from the schemas and tables: custom resource definitions and reference documents. Pure."""
