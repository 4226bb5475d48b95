"""What a runner is given and how it ends."""

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from connector_runner.schemas.manifest import DatasetTarget, RunnerManifest, encode_manifest, parse_manifest
from connector_runner.schemas.outcome import (
    DATASET_REASONS,
    TERMINATION_MESSAGE_BYTES,
    Termination,
    encode_termination,
    parse_termination,
)

ROOT = Path(__file__).parents[3]


def test_a_manifest_survives_the_journey_in_camel_case() -> None:
    manifest = RunnerManifest(
        namespace="default",
        name="trades",
        uid="u-1",
        run=3,
        connector_type="COINBASE",
        config={"productId": ["BTC-USD"]},
        config_from=2,
        stream="matches",
        dataset=DatasetTarget(name="market", url="sqlite:///market.db", table="trades"),
    )
    text = encode_manifest(manifest)
    assert '"connectorType":"COINBASE"' in text
    assert '"writeMode":"upsert"' in text
    assert parse_manifest(text) == manifest


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=6000))
def test_a_termination_message_always_fits(message: str) -> None:
    encoded = encode_termination(Termination("InvalidConfig", message))
    assert len(encoded) <= TERMINATION_MESSAGE_BYTES
    assert parse_termination(encoded.decode()).reason == "InvalidConfig"


def test_the_last_words_of_a_crash_are_its_message() -> None:
    assert parse_termination("Traceback …\nMemoryError\n") == Termination("Crashed", "Traceback …\nMemoryError")


def reasons_in(folder: str) -> set[str]:
    sources = (ROOT / "connector_runner" / folder).rglob("*.py")
    return {
        word
        for path in sources
        for word in re.findall(r"""(?:reason=|["'], )"([A-Z][a-z]+[A-Z][A-Za-z]+)\"""", path.read_text())
    }


def test_the_reasons_that_speak_of_the_dataset_are_those_that_sinks_give() -> None:
    about_rows = {"NotPossible", "SchemaConflict"}
    assert (reasons_in("sinks") | reasons_in("datasets/columnar/s3")) - about_rows == DATASET_REASONS
    assert not reasons_in("sources") & DATASET_REASONS, "the same word must not also speak of a source"
