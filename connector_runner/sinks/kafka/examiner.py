"""Looks at topics without a producer: reads the ledgers, and lets the brokers say what they would refuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, NewTopic

from connector_runner.datasets.blocking.examiner import LedgerExaminer
from connector_runner.datasets.examining import DATASET, Fit, require_fitting_columns
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.procedure import Procedure
from connector_runner.datasets.stream_ledger import StreamLedger
from connector_runner.protocols.check import Check, failed, ok, unknown
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import WriteMode
from connector_runner.sinks.kafka import client as kafka
from connector_runner.sinks.kafka import ledger_records as ledgers
from connector_runner.sinks.kafka.avro import build_schema, subject_of
from connector_runner.sinks.kafka.cluster import KafkaCluster
from connector_runner.sinks.kafka.connection import KafkaConnection
from connector_runner.sinks.kafka.dialect import DIALECT
from connector_runner.sinks.kafka.errors import explain
from connector_runner.sinks.kafka.sink import with_topics
from connector_runner.sinks.kafka.topics import SETTINGS, require_fitting_topic, require_topics_made

NEEDED = (AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE)


class TopicExaminer(LedgerExaminer):
    """See `Examiner`."""

    def __init__(self, context: SinkContext) -> None:
        self._cluster = KafkaCluster(context)
        self._append = context.write_mode is WriteMode.APPEND
        super().__init__(with_topics(context), self._cluster, self._fit_topic, self._read_rights)

    @property
    def _kafka(self) -> KafkaConnection:
        connection = self._cluster.connection
        assert connection is not None  # noqa: S101 - the constructor has connected
        return connection

    def _fit_topic(self, stream: StreamLedger, schema: StreamSchema, own: bool) -> Procedure[Fit]:
        del own
        yield from ()
        name, connection = stream.names.table, self._kafka
        require_fitting_columns(schema, append=self._append, is_case_sensitive=DIALECT.is_case_sensitive)
        if self._is_hidden(name):
            said = f"whether topic {name} fits can't be said: its ACLs hide it"
            return Fit(unknown(DATASET, "table", said, stream.stream))
        topic = connection.topic(name)
        if connection.registry is not None:
            connection.registry.fits(subject_of(name), build_schema(schema, name, append=self._append))
        if topic is None:
            require_topics_made(connection, name)
            return Fit(ok(DATASET, "table", f"topic {name} does not exist and will be made", stream.stream), True)
        require_fitting_topic(connection, name, topic, schema, append=self._append)
        return Fit(ok(DATASET, "table", f"topic {name} fits ({topic.partitions} partitions)", stream.stream))

    def _read_rights(self, ledger: Ledger, fits: Mapping[str, Fit]) -> Procedure[Sequence[Check]]:
        del fits
        yield from ()
        wanted = {ledgers.ledger_topic(self._connector): (ledgers.SETTINGS, 1)}
        for stream in ledger.streams.values():
            names, partitions = stream.names, self._kafka.client.address.partitions
            wanted[names.table] = (SETTINGS[self._append], partitions)
            beside = (ledgers.BESIDE_SETTINGS, -1)
            wanted |= {f"{names.table}_dead_letters": beside, f"{names.table}_incidents": beside}
        present = [name for name in wanted if self._is_hidden(name) or self._kafka.topic(name) is not None]
        found = [*self._look(present), *self._try([NewTopic(name, partitions, self._copies, config=dict(settings))
                 for name, (settings, partitions) in wanted.items() if name not in present])]  # fmt: skip
        transactions = ledgers.transactional_id(self._connector)
        said = f"the right to transactions with the id {transactions} can't be asked for without ending those of a runner that runs"
        return [*(found or [ok(DATASET, "rights", f"the topics may be used or made: {', '.join(wanted)}")]),
                unknown(DATASET, "transactions", said)]  # fmt: skip

    def _is_hidden(self, name: str) -> bool:
        """Whether not even DESCRIBE is allowed; brokers answer so of topics that do not exist, too."""
        try:
            self._kafka.topic(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise
            return True
        return False

    @property
    def _copies(self) -> int:
        return self._kafka.client.address.replication

    def _look(self, names: Sequence[str]) -> list[Check]:
        """What may not be done with topics that exist."""
        if not names:
            return []
        answers = self._kafka.client.admin.describe_topics(
            TopicCollection(list(names)), include_authorized_operations=True, request_timeout=kafka.SECONDS
        )
        lacking: dict[str, str] = {}
        for name, answer in answers.items():
            allowed = () if self._is_hidden(name) else answer.result(kafka.SECONDS).authorized_operations
            lacks = [] if allowed is None else [each.name for each in NEEDED if each not in allowed]
            if lacks:
                lacking[name] = ", ".join(lacks)
        if not lacking:
            return []
        said = "; ".join(f"{lacks} on topic {name}" for name, lacks in lacking.items())
        return [failed(DATASET, "rights", ActionRequiredError(
            f"Kafka at {self._kafka.client.where} does not allow {said}; add ACLs that do", reason="NotAllowed"))]  # fmt: skip

    def _try(self, topics: Sequence[NewTopic]) -> list[Check]:
        """What the brokers would say to topics that must be made."""
        if not topics:
            return []
        where, said = self._kafka.client.where, dict[str, list[str]]()
        errors: dict[str, KafkaException] = {}
        answers = self._kafka.client.admin.create_topics(
            list(topics), validate_only=True, request_timeout=kafka.SECONDS, operation_timeout=kafka.SECONDS
        )
        for name, answer in answers.items():
            try:
                answer.result(kafka.SECONDS + 5)
            except KafkaException as error:
                said.setdefault(str(error.args[0].code()), []).append(name)
                errors[str(error.args[0].code())] = error
        found = []
        for code, names in said.items():
            failure = explain(errors[code], where)
            failure.message = f"{failure.message} (asked for the topics {', '.join(names)})"
            found.append(failed(DATASET, "rights", failure))
        return found
