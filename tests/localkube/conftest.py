"""localkube's own tests run on the fixtures that it gives to others."""

from tests.localkube.plugin import *  # noqa: F403
