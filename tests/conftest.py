"""What holds for all tests."""

import os

from hypothesis import settings

from tests.servers.fixtures import iceberg_s3_server, iceberg_server, kafka_server, postgres_server, s3_server

__all__ = ["iceberg_s3_server", "iceberg_server", "kafka_server", "postgres_server", "s3_server"]

# An example's time depends on what else the machine does. `make test` tries the same examples each time, so that it judges
# what was changed and nothing else; `make test-search` draws new ones, five times as many.
settings.register_profile("house", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=500, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))
