"""The values that sources and sinks share keep their own rules."""

import pytest

from connector_runner.protocols.batch import place_of
from connector_runner.protocols.errors import InvalidConfigError, SourceChangedError, TransientError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.source import require_same_source
from connector_runner.protocols.types import INT64, PYTHON_FORM, STRING, Kind, LogicalType

ID = Column("id", INT64, nullable=False)
NAME = Column("name", STRING)


def test_every_kind_says_how_python_carries_it() -> None:
    assert PYTHON_FORM.keys() == set(Kind)


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (INT64, "int64"),
        (LogicalType(Kind.DECIMAL, precision=65, scale=30), "decimal(65,30)"),
        (LogicalType(Kind.DECIMAL, precision=10), "decimal(10,0)"),
        (LogicalType(Kind.STRING, length=40), "string(40)"),
    ],
)
def test_types_read_like_sql(type_: LogicalType, text: str) -> None:
    assert str(type_) == text


def test_key_indices_follow_the_key_not_the_columns() -> None:
    schema = StreamSchema("s", (NAME, ID), key=("id", "name"))
    assert schema.names == ("name", "id")
    assert schema.key_indices == (1, 0)


@pytest.mark.parametrize(
    "other",
    [
        StreamSchema("s", (ID, Column("name", INT64)), ("id",)),
        StreamSchema("s", (ID, Column("name", STRING, nullable=False)), ("id",)),
        StreamSchema("s", (ID, NAME), ("id", "name")),
        StreamSchema("s", (NAME, ID), ("id",)),
    ],
)
def test_the_version_changes_with_what_matters(other: StreamSchema) -> None:
    schema = StreamSchema("s", (ID, NAME), ("id",))
    assert schema.version != other.version
    assert schema.version == StreamSchema("s", (ID, Column("name", STRING, description="x")), ("id",)).version


def test_impossible_schemas_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        StreamSchema("s", (ID, ID))
    with pytest.raises(ValueError, match="not among"):
        StreamSchema("s", (ID,), key=("nope",))


def test_a_changed_source_names_both() -> None:
    require_same_source("a", "a")
    with pytest.raises(SourceChangedError, match=r"from chain 1,.*leads to chain 5"):
        require_same_source("chain 1", "chain 5")


def test_errors_carry_reason_and_message() -> None:
    assert InvalidConfigError(["config.a: is required", "config.b: is required"]).problems == (
        "config.a: is required",
        "config.b: is required",
    )
    assert TransientError("later", retry_after=2.0).retry_after == 2.0
    assert TransientError("later", reason="RateLimited").reason == "RateLimited"


def test_what_only_the_checkpoint_keeps_is_not_shown() -> None:
    position = {"number": 5, "_ring": ["a", "b"], "at_": 1}
    assert place_of(position) == {"number": 5, "at_": 1}
    assert place_of({}) == {}
