"""The documentation says what the schemas say."""

from pathlib import Path

from connector_runner.sources.coinbase.reference import BLOCKS
from generate.blocks import fill

PAGE = Path(__file__).parents[3] / "docs" / "coinbase.md"


def test_the_streams_in_the_documentation_are_those_of_the_source() -> None:
    assert PAGE.read_text() == fill(PAGE.read_text(), BLOCKS), "run `make generate`"
