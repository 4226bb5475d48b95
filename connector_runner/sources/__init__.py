"""Sources by type: a folder each, named like its connectorType in lower case; the folder is the registry."""
