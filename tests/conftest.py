"""What holds for all tests."""

import os

from hypothesis import settings
from hypothesis.internal.conjecture import providers

from tests.servers.fixtures import iceberg_s3_server, iceberg_server, kafka_server, postgres_server, s3_server

__all__ = ["iceberg_s3_server", "iceberg_server", "kafka_server", "postgres_server", "s3_server"]

# An example's time depends on what else the machine does. `make test` tries the same examples each time, so that it judges
# what was changed and nothing else; `make test-search` draws new ones, five times as many. By itself Hypothesis also draws
# constants of the modules that happen to be imported, so the same seed gave other examples in another worker, and in another folder.
providers._get_local_constants = lambda: providers._local_constants
settings.register_profile("house", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=500, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))
