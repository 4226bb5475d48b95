"""What holds for all tests."""

from hypothesis import settings

# An example's time depends on what else the machine does.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
