"""Sinks by URL scheme: one module or folder each, named like the scheme; the registry finds it by this name."""
