"""The kind Connector: its spec, field by field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from connector_runner.schemas.config import connector_types
from connector_runner.schemas.kinds import naming
from connector_runner.schemas.kinds.connector_status import ConnectorStatus
from connector_runner.schemas.kinds.declare import Column, Http, Kind, Rule, described
from connector_runner.schemas.kinds.runner import RunnerSpec
from connector_runner.schemas.kinds.streams import Isolation, StreamsSpec
from connector_runner.schemas.manifest import TakeOver
from connector_runner.schemas.secrets import SecretSource


class SecretReference(msgspec.Struct, frozen=True):
    """A Secret of this namespace."""

    name: Annotated[str, described("Its name.", minLength=1, maxLength=253)]


class ConfigSource(msgspec.Struct, frozen=True, rename="camel"):
    """One Secret."""

    secret_ref: SecretReference
    keys: Annotated[
        dict[str, str] | None,
        described(
            "Which key of the Secret is which config property, as in {username: user}, for a Secret whose keys have other names. "
            "With it, keys that are neither named here nor properties are ignored. Without it, every key must be a property.",
            minProperties=1,
            maxProperties=100,
        ),
    ] = None
    optional: Annotated[bool, described("Whether the Secret, and the keys named in keys, may be absent.")] = False

    def source(self) -> SecretSource:
        """The form that the runner receives."""
        return SecretSource(name=self.secret_ref.name, keys=self.keys, optional=self.optional)

    def form(self) -> Any:
        """The part that is hashed: only the name if nothing else is set, as before there were other fields."""
        if self.keys is None and not self.optional:
            return self.secret_ref.name
        return [self.secret_ref.name, self.keys, self.optional]


class ConnectorSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What you ask for."""

    connector_type: Annotated[
        str,
        described(
            "The type of the source. It can't be changed later.",
            http=Http(update=False, read="always"),
            rules=[Rule(holds="self == oldSelf", message="can't be changed; create another Connector instead")],
            enum=list(connector_types()),
        ),
    ]
    dataset_id: Annotated[
        str,
        described(
            "Where rows go: the Dataset of this name (in lower case, _ as -), or else the Dataset named default, with this as the name of the table.",
            http=Http(read="always"),
            pattern=naming.DATASET_ID_PATTERN,
        ),
    ] = ""
    description: Annotated[str, described("A note for people.", http=Http(read="always"), maxLength=1000)] = ""
    wait: Annotated[
        bool,
        described(
            "Whether each batch is confirmed before the next one is sent; false is faster.", http=Http(read="always")
        ),
    ] = True
    selected_stream: Annotated[
        str, described("The stream to carry: one of status.streams.", http=Http(), maxLength=512)
    ] = ""
    streams: Annotated[
        StreamsSpec | None,
        described("Many streams in one connector, instead of selectedStream.", http=Http(shown_as="selectedStreams")),
    ] = None
    on_stream_failure: Annotated[
        Isolation,
        described(
            "With streams: what a stream that fails does: it is paused alone while the others continue (isolate), or it ends the execution (stop).",
            http=Http(),
        ),
    ] = "isolate"
    status: Annotated[
        Literal["running", "stopped"] | None,
        described(
            "Whether the connector should run: running or stopped. Absent: it is not started.", http=Http(read="never")
        ),
    ] = None
    config: Annotated[
        dict[str, Any],
        described(
            "How to reach the source, by connectorType; each field says which types have it.", http=Http(read="never")
        ),
    ] = {}
    config_from: Annotated[
        tuple[ConfigSource, ...],
        described(
            "Secrets whose keys are further config properties. A later Secret wins over an earlier one, and all win over config. "
            "Note: whoever may create Connectors can have any Secret of the namespace mounted this way.",
            maxItems=20,
        ),
    ] = ()
    restarted_at: Annotated[
        str, described("Any new text, such as a time, restarts a running connector once.", maxLength=128)
    ] = ""
    rediscover_at: Annotated[str, described("Any new text, such as a time, runs discovery again.", maxLength=128)] = ""
    take_over: Annotated[
        TakeOver | None,
        described(
            "The connector to take the table over from. It works only while just that connector holds the table with just that epoch "
            "and has no live Job; afterwards it has no effect. The message of the reason SchemaConflict has both values."
        ),
    ] = None
    runner: RunnerSpec = RunnerSpec()

    @property
    def asked(self) -> str:
        """What stands for the streams to carry: the name of one, the key of a selection, "" for none."""
        return self.selected_stream if self.streams is None else self.streams.key


ONE_OR_MANY = Rule(
    holds="!has(self.streams) || !has(self.selectedStream) || self.selectedStream == ''",
    message="give either selectedStream (one stream) or streams (many), not both",
    field=".streams",
    reason="FieldValueForbidden",
    is_kept=lambda spec: spec.streams is None or not spec.selected_stream,
)
_READY = '.status.conditions[?(@.type=="Ready")]'
CONNECTOR = Kind(
    name="Connector",
    plural=naming.CONNECTORS,
    short="conn",
    description="A Connector carries one stream of a source, or many, into a dataset, and keeps it running until you stop it.",
    spec=ConnectorSpec,
    status=ConnectorStatus,
    columns=(
        Column("Type", ".spec.connectorType", "The type of the source."),
        Column("Stream", ".status.selection.text", "The selected stream, or how many are selected."),
        Column("Dataset", ".spec.datasetId", "Where its rows go."),
        Column("Status", ".status.state.status", "The connector's state."),
        Column("Ready", f"{_READY}.status", "Whether the connector does what you ask for."),
        Column("Reason", f"{_READY}.reason", "Why."),
        Column("Age", ".metadata.creationTimestamp"),
        Column(
            "Execution", ".status.state.execId", "The execution; its last part is the name of its Job.", is_wide=True
        ),
        Column("Version", ".status.runnerVersion", "The version of its runner's image.", is_wide=True),
        Column(
            "UpToDate",
            '.status.conditions[?(@.type=="RunnerUpToDate")].reason',
            "How it stands to the runner's present image.",
            is_wide=True,
        ),
        Column("Progress", ".status.progress.text", "How far its streams are.", is_wide=True),
        Column("Lag", ".status.progress.lag", "How far it is behind the source.", is_wide=True),
        Column("Message", f"{_READY}.message", "Why, in a sentence.", is_wide=True),
    ),
    selectable=(".spec.connectorType", ".spec.datasetId", ".status.state.status"),
    spec_rules=(ONE_OR_MANY,),
    rules=(
        Rule(
            holds=f"oldSelf.hasValue() || (size(self.metadata.name) <= {naming.MAX_CONNECTOR_NAME} && "
            f"self.metadata.name.matches('{naming.NAME_PATTERN}'))",
            message=f"metadata.name: at most {naming.MAX_CONNECTOR_NAME} lower case letters, digits and dashes, "
            "beginning and ending with a letter or digit (Jobs and pods are named after it)",
            with_old=True,
        ),
    ),
)
