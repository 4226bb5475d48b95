"""What holds for all tests."""

from hypothesis import settings

from tests.servers.fixtures import kafka_server, postgres_server, s3_server

__all__ = ["kafka_server", "postgres_server", "s3_server"]

# An example's time depends on what else the machine does.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
