"""`python -m tests.scripted run -f FILE`: the product's command line with one additional source."""

import sys

from connector_runner.cli import main
from tests.scripted.source import TestRegistry

sys.exit(main(registry=TestRegistry()))
