"""The columns of one schema as Arrow has them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyarrow as pa

from connector_runner.datasets.columnar.types import Converter
from connector_runner.protocols.batch import Row
from connector_runner.protocols.schema import StreamSchema


def free_name(wanted: str, taken: Collection[str]) -> str:
    """A name that none of these has, in whatever case: the wanted one, with underscores before it as far as that needs them."""
    names = {name.lower() for name in taken}
    while wanted.lower() in names:
        wanted = f"_{wanted}"
    return wanted


class Columns:
    """The columns of one schema as Arrow has them."""

    def __init__(self, schema: StreamSchema) -> None:
        self.schema = schema
        self.converters = [Converter(column, is_key=column.name in schema.key) for column in schema.columns]
        self.arrow = pa.schema([each.field for each in self.converters])

    def convert(self, rows: Sequence[Row]) -> list[pa.Array]:
        """Full rows as one array a column.

        Raises:
            `types.VALUE_ERRORS`: A value has no exact form.
        """
        columns = list(zip(*rows, strict=True)) or [()] * len(self.converters)
        return [each.convert(values) for each, values in zip(self.converters, columns, strict=True)]

    def stored(self, values: Sequence[object], names: Sequence[str]) -> list[object]:
        """Values of these columns as they are stored."""
        by_name = {each.name: each for each in self.converters}
        return [by_name[name].convert([value])[0].as_py() for name, value in zip(names, values, strict=True)]
