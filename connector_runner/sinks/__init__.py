"""Sinks by URL scheme: a module or folder each, named like the scheme; the name is the registry."""
