"""The Iceberg sink: rows and position in one commit of each table, behind a ledger that is a table too; see docs/lake.md."""

from __future__ import annotations

from connector_runner.datasets.dialect import Dialect
from connector_runner.protocols.check import Examiner
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.protocols.sink import Inspector, Sink, SinkContext
from connector_runner.schemas.extras import say_install


def build_dialect() -> Dialect:
    """How it distinguishes the names of tables."""
    from connector_runner.sinks.iceberg.dialect import DIALECT

    return DIALECT


def _require_library() -> None:
    try:
        import pyarrow  # noqa: F401 - only whether they are there
        import pyiceberg  # noqa: F401
        import sqlalchemy  # noqa: F401
    except ImportError:
        raise ActionRequiredError(
            f"the Iceberg dataset needs the packages pyiceberg[sql-sqlite] and pyarrow: {say_install('runner', 'lake')}",
            reason="InvalidDataset",
        ) from None


def build_sink(context: SinkContext) -> Sink:
    """A sink for `iceberg+sqlite:///folder` (from the data directory), `iceberg+sqlite:////absolute/folder` or a REST catalogue."""
    _require_library()
    from connector_runner.datasets.columnar.sink import LakeSink
    from connector_runner.sinks.iceberg.database import build_database

    return LakeSink(context, build_database(context))


def build_inspector(context: SinkContext, *, create: bool = False) -> Inspector:
    """Inspects such a catalogue without claiming it."""
    _require_library()
    from connector_runner.datasets.columnar.inspector import LakeInspector
    from connector_runner.sinks.iceberg.database import build_database

    return LakeInspector(context, build_database(context), create=create)


def build_examiner(context: SinkContext) -> Examiner:
    """Looks at such tables, and changes nothing."""
    _require_library()
    from connector_runner.sinks.iceberg.examiner import CatalogExaminer

    return CatalogExaminer(context)
