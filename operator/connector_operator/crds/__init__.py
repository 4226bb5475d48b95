"""The custom resource definitions, derived from the declarations of the kinds. Pure."""
