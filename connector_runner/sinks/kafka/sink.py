"""The sink: the ledger's procedures over topics, and who wins when two begin at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

from connector_runner.datasets.blocking.database import Begun
from connector_runner.datasets.blocking.sink import BlockingSink
from connector_runner.datasets.fencing import find_rival
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.procedure import Procedure, run
from connector_runner.protocols.errors import ActionRequiredError, InvalidConfigError, TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import Claim, Receipt, SinkContext, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.schemas.dataset_url import url_problems
from connector_runner.schemas.datasets.kafka import Address, parse_address
from connector_runner.sinks.kafka import topics
from connector_runner.sinks.kafka.avro import AvroValues, build_schema, subject_of
from connector_runner.sinks.kafka.cluster import KafkaCluster
from connector_runner.sinks.kafka.connection import KafkaConnection
from connector_runner.sinks.kafka.errors import is_fenced
from connector_runner.sinks.kafka.key_state import StateTooLargeError
from connector_runner.sinks.kafka.producers import MovedError
from connector_runner.sinks.kafka.writer import TopicWriter, load_state, needs_state


def read_address(context: SinkContext) -> Address:
    """The address in the dataset's URL.

    Raises:
        InvalidConfigError: It has problems.
    """
    url = context.read_url()
    if problems := url_problems(url):
        raise InvalidConfigError([f"dataset.url: {problem}" for problem in problems], reason="InvalidDataset")
    return parse_address(url)


def with_topics(context: SinkContext) -> SinkContext:
    """The same with the names of topics as tables."""
    return replace(context, tables=_topics_of(read_address(context), context.tables))


def _topics_of(address: Address, tables: Mapping[str, str]) -> dict[str, str]:
    return {stream: address.topic(table) for stream, table in tables.items()}


class TopicRows:
    """`Rows` stored in topics."""

    def __init__(self, context: SinkContext, cluster: KafkaCluster, ledger: Ledger) -> None:
        self._context = context
        self._cluster = cluster
        self._ledger = ledger
        self._append = context.write_mode is WriteMode.APPEND

    def check(self) -> None:
        """Does nothing: what is missing is found when it is needed."""

    def ensure(self, schema: StreamSchema, own: bool, renews: bool) -> Procedure[bool]:
        """See `Rows.ensure`."""
        del own, renews
        yield from ()
        name = self._ledger.streams[schema.stream].names.table
        return topics.ensure_topic(self._connected(), name, schema, append=self._append)

    def build_writer(self, schema: StreamSchema) -> TopicWriter:
        """See `Rows.build_writer`."""
        part = self._ledger.streams[schema.stream]
        avro, registry = None, self._connected().registry
        if registry is not None:
            topic = part.names.table
            text = build_schema(schema, topic, append=self._append)
            avro = AvroValues(schema, registry.number(subject_of(topic), text))
        return TopicWriter(self._connected, part, schema, append=self._append, avro=avro)

    def _connected(self) -> KafkaConnection:
        if self._cluster.connection is None:
            raise TransientError("there is no connection", reason="DatasetUnavailable")
        return self._cluster.connection

    def leave(self) -> None:
        """Ends all waiting."""
        self._cluster.leaving.set()

    def disconnect(self) -> None:
        """Does nothing: the connection belongs to the ledger."""


class KafkaSink(BlockingSink):
    """See `Sink`."""

    def __init__(self, context: SinkContext) -> None:
        cluster = KafkaCluster(context)
        super().__init__(context, cluster, lambda ledger: TopicRows(context, cluster, ledger))
        self._address = read_address(context)
        self._cluster = cluster
        self._context = context

    def _claim(self) -> Claim:
        """Claims; of two connectors that claim one topic in the same moment at most one keeps it."""
        self._disconnect()  # an earlier attempt may have left a transaction of unknown outcome
        claim = super()._claim()
        self._require_still_alone(claim)
        self._load_states()
        return claim

    def _select(self, tables: Mapping[str, str] | None, record: str) -> Claim:
        wanted = None if tables is None else _topics_of(self._address, tables)
        try:
            claim = super()._select(wanted, record)
        except TransientError as error:
            if not is_fenced(error):
                raise
            super()._recover()  # who was overtaken leaves here; else the ledger as it is now tells who holds what is added
            claim = super()._select(wanted, record)
        self._require_still_alone(claim)
        if self._cluster.connection is not None:
            self._cluster.connection.keys.keep_only(self._writers)
        self._load_states()
        return claim

    def _load_states(self) -> None:
        """Reads now, while no source is open, what streams have needed to know before."""
        if (connection := self._cluster.connection) is None:
            return
        for stream in self._ledger.streams.values():
            if (stream.stream, stream.names.table) in connection.marks:
                # What only a person can mend is that stream's failure, when it needs the state.
                with suppress(ActionRequiredError), self._database.explained():
                    load_state(connection, stream, append=self._append)

    def _require_still_alone(self, claim: Claim) -> None:
        """Each reads the others' ledgers before its claim is committed and after it, so at least one of two sees the other.

        A stream that has a position was here first: it stays, and whoever came withdraws.
        """
        if self._cluster.connection is None:
            return
        connection, ledger = self._cluster.connection, self._ledger
        new = [stream for stream in ledger.streams.values() if claim.checkpoints.get(stream.stream) is None]
        with self._database.explained():
            others = connection.read_others() if new else []
            for stream in new:
                same = [other for other in others if other.table == stream.key[2]]
                if (rival := find_rival(same, *stream.owner, append=ledger.append)) is None:
                    continue
                with Begun(connection, self._database.begin):
                    connection.execute(ledger.sql.release, stream.key)
                raise TransientError(
                    f"connector {rival.connector} has claimed topic {stream.key[2]} in the same moment; this claim is withdrawn, and "
                    "made again",
                    reason="DatasetUnavailable",
                )

    def _recover(self) -> int:
        super()._recover()  # who was overtaken leaves here, before it would fence whoever is there
        connection = self._cluster.connection
        with self._database.explained():
            if connection is None:
                raise TransientError("there is no connection", reason="DatasetUnavailable")
            self._cluster.transactions.adapt(connection.client)
            try:
                connection.initialise()
            except MovedError:  # an own transaction has ended only now
                connection.load()
            number = run(connection, self._ledger.recover())
            names = [self._ledger.streams[stream].names.table for stream in self._writers]
            for name in names:
                topics.require_there(connection, name, append=self._append)
            topics.ensure_beside(connection, names)
            return number

    @contextmanager
    def _blamed(self, stream: str) -> Iterator[None]:
        """Adds that what one topic holds may be too much."""
        try:
            with super()._blamed(stream):
                yield
        except StateTooLargeError as error:
            if self._isolates:
                error.stream = stream
            raise

    def _write(self, transaction: Transaction) -> Receipt:
        with self._database.explained():
            for part in self._ledger.by_stream(transaction):
                writer = self._writers.get(part.batches[0].schema.stream)
                if isinstance(writer, TopicWriter) and needs_state(part.batches, append=self._append):
                    with self._blamed(part.batches[0].schema.stream):
                        writer.load_state()
        return super()._write(transaction)


def build_topic_sink(context: SinkContext) -> KafkaSink:
    """Effectively once: one Kafka transaction holds rows, dead letters, incidents, position and the check of the fence."""
    return KafkaSink(with_topics(context))
