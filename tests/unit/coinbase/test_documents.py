"""The documentation says what the schemas say."""

from pathlib import Path

from connector_runner.sources.coinbase.reference import fill_page

PAGE = Path(__file__).parents[3] / "docs" / "coinbase.md"


def test_the_streams_in_the_documentation_are_those_of_the_source() -> None:
    assert PAGE.read_text() == fill_page(PAGE.read_text()), "run `make generate`"
