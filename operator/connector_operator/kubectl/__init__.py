"""`kubectl connectors`: shows connectors and acts on them with the rights of whoever types it.

A program of its own on a person's machine. It shares only names, times and the table of reasons with the operator, and reads what any
operator has written: fields that an earlier version does not write are shown as unknown.
"""
