"""The data plane: carries one stream of a source into a dataset, exactly once."""
