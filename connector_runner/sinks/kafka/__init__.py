"""The Kafka sink: rows, position and fence in one Kafka transaction; see docs/kafka.md."""

from __future__ import annotations

from connector_runner.datasets.dialect import Dialect
from connector_runner.protocols.check import Examiner
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.protocols.sink import Inspector, Sink, SinkContext
from connector_runner.schemas.extras import say_install


def build_dialect() -> Dialect:
    """How it distinguishes the names of tables."""
    from connector_runner.sinks.kafka.dialect import DIALECT

    return DIALECT


def _require_client() -> None:
    try:
        import confluent_kafka  # noqa: F401 - only whether it is there
    except ImportError:
        raise ActionRequiredError(
            f"the Kafka dataset needs the package confluent-kafka: {say_install('runner', 'kafka')}",
            reason="InvalidDataset",
        ) from None


def build_sink(context: SinkContext) -> Sink:
    """A sink for `kafka://broker:9092,broker2:9092/topic`."""
    _require_client()
    from connector_runner.sinks.kafka.sink import build_topic_sink

    return build_topic_sink(context)


def build_inspector(context: SinkContext, *, create: bool = False) -> Inspector:
    """Inspects such topics without claiming them."""
    _require_client()
    from connector_runner.sinks.kafka.inspector import TopicInspector

    return TopicInspector(context, create=create)


def build_examiner(context: SinkContext) -> Examiner:
    """Looks at such topics without a producer."""
    _require_client()
    from connector_runner.sinks.kafka.examiner import TopicExaminer

    return TopicExaminer(context)
