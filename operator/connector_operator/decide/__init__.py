"""Decides what to do from what was observed: pure values in, pure values out; the clock is one of the inputs."""
