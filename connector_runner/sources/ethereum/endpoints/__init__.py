"""The configured endpoints as one: which is in use, what each allows, which chain it is on, and what it offers."""
