"""The custom resource definition of Connector: its parts that are written by hand around the union of configurations."""

from __future__ import annotations

from typing import Any

from connector_operator.crds.parts import (
    conditions,
    definition,
    list_of,
    map_list,
    number,
    object_of,
    text,
    text_map,
    yes_no,
)
from connector_operator.crds.union import build_rules, build_union
from connector_operator.resources import names
from connector_operator.resources.runner_shape import runner_shape
from connector_runner.schemas.config import config_schema, connector_types

STATES = ["pending", "received", "ready", "running", "stopped", "errored"]


def build_connector_crd() -> dict[str, Any]:
    """The whole definition, for the types whose schemas there are."""
    schemas = {kind: config_schema(kind) for kind in connector_types()}
    name_rule = {
        "rule": f"oldSelf.hasValue() || (size(self.metadata.name) <= {names.MAX_CONNECTOR_NAME} && "
        f"self.metadata.name.matches('{names.NAME_PATTERN}'))",
        "message": f"metadata.name: at most {names.MAX_CONNECTOR_NAME} lower case letters, digits and dashes, "
        "beginning and ending with a letter or digit (Jobs and pods are named after it)",
        "optionalOldSelf": True,
    }
    root = object_of(
        "A Connector carries one stream of a source into a dataset, and keeps it running until it is stopped.",
        {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _spec(schemas),
            "status": _status(),
        },
        required=["spec"],
    )
    root["x-kubernetes-validations"] = [name_rule]
    ready = '.status.conditions[?(@.type=="Ready")]'
    columns = [
        ("Type", ".spec.connectorType", 0, "Where the stream comes from."),
        ("Stream", ".spec.selectedStream", 0, "The selected stream."),
        ("Dataset", ".spec.datasetId", 0, "Where its rows go."),
        ("Status", ".status.state.status", 0, "The connector's state."),
        ("Ready", f"{ready}.status", 0, "Whether the state is what is asked for."),
        ("Reason", f"{ready}.reason", 0, "Why."),
        ("Age", ".metadata.creationTimestamp", 0, ""),
        ("Execution", ".status.state.execId", 1, "The execution; its last part is the Job's name."),
        ("Message", f"{ready}.message", 1, "Why, in a sentence."),
    ]
    return definition(
        kind="Connector",
        plural=names.CONNECTORS,
        short="conn",
        root=root,
        columns=columns,
        selectable=[".spec.connectorType", ".spec.datasetId", ".status.state.status"],
    )


def _spec(schemas: dict[str, Any]) -> dict[str, Any]:
    kind = text("The kind of source; can't be changed afterwards.", enum=list(schemas))
    kind["x-kubernetes-validations"] = [
        {"rule": "self == oldSelf", "message": "can't be changed; create another Connector instead"}
    ]
    spec = object_of(
        "What is asked for.",
        {
            "connectorType": kind,
            "description": text("A note for people.", maxLength=1000),
            "datasetId": text(
                "Where rows go: the Dataset of this name (in lower case, _ as -), else the one named default, with this as the table's name.",
                pattern=names.DATASET_ID_PATTERN,
            ),
            "wait": yes_no("Whether each batch is confirmed before the next is sent; false is faster. Default: true."),
            "config": build_union(schemas),
            "configFrom": list_of(
                "Secrets whose keys are more config properties; later ones win, and all win over config. Whoever may create Connectors can so have any Secret of the namespace mounted.",
                object_of(
                    "One Secret.",
                    {
                        "secretRef": object_of(
                            "A Secret of this namespace.",
                            {"name": text("Its name.", minLength=1, maxLength=253)},
                            required=["name"],
                        ),
                        "keys": text_map(
                            "Properties by key, as in {username: user}, for a Secret whose keys are named otherwise. With it, keys that are neither named here nor properties are ignored; without it every key must be a property.",
                            minProperties=1,
                            maxProperties=100,
                        ),
                        "optional": yes_no("Whether the Secret, and keys that are named in keys, may be absent."),
                    },
                    required=["secretRef"],
                ),
                maxItems=20,
            ),
            "selectedStream": text("The stream to carry: one of status.streams.", maxLength=512),
            "status": text("What is asked for: running or stopped; absent, not started.", enum=["running", "stopped"]),
            "restartedAt": text("Any new text (such as a time) restarts a running connector once.", maxLength=128),
            "rediscoverAt": text("Any new text (such as a time) lists the streams anew once.", maxLength=128),
            "takeOver": object_of(
                "Whom the table is taken over from: works only while just that connector holds it with just that epoch and has no "
                "live Job; without effect afterwards. The message of SchemaConflict has both.",
                {
                    "connector": text(
                        "Its name, or namespace/name.",
                        pattern="^([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
                        maxLength=128,
                    ),
                    "epoch": number("With which it holds the table.", minimum=1, format="int64"),
                },
                required=["connector", "epoch"],
            ),
            "runner": runner_shape(),
        },
        required=["connectorType"],
    )
    spec["x-kubernetes-validations"] = build_rules(schemas)
    return spec


def _status() -> dict[str, Any]:
    stream = object_of(
        "One stream.",
        {
            "id": text("What selectedStream takes."),
            "key": list_of("Columns that identify a row; none: append mode only.", text("A column."), atomic=True),
            "modes": list_of("What the source can do with it.", text("A mode."), atomic=True),
            "columns": number("How many columns it has, where that is known."),
        },
        required=["id"],
    )
    last = object_of(
        "The last execution that ended or is being ended.",
        {
            "run": number("Its number."),
            "execId": text("Which it was."),
            "startedAt": text("When its process started."),
            "finishedAt": text("When its process ended; absent while it is leaving."),
            "exitCode": number("Its exit code, where somebody could see it."),
            "reason": text("Why it ended."),
            "message": text("The runner's own sentence."),
        },
    )
    state = object_of(
        "As the Connectors API answers it.",
        {
            "status": text("One of the six states.", enum=STATES),
            "jobId": text("The connector's name."),
            "execId": text("The present execution; its last part is the Job's name."),
        },
    )
    status = object_of(
        "What is; written by the operator alone.",
        {
            "observedGeneration": number("The generation of the spec that this status is about.", format="int64"),
            "state": state,
            "streams": map_list("The source's streams, at most 500, the selected one among them.", stream, "id"),
            "streamsTotal": number("How many streams the source has."),
            "dataset": object_of(
                "What datasetId was resolved to.",
                {"name": text("The Dataset's name."), "table": text("The table there.")},
            ),
            "run": number("How many executions have been reserved.", format="int64"),
            "ordered": _ordered("What the last reserved execution was made from."),
            "held": object_of(
                "What held the dataset when the last execution was refused there.",
                {
                    "run": number("The run of this connector that holds it.", format="int64"),
                    "mark": text("How far its checkpoint had come."),
                },
            ),
            "lastExecution": last,
            "retry": _retry(),
            "discovery": _discovery(),
            "conditions": conditions(),
            "updated": text("When this status last changed."),
        },
    )
    # Without it an object that nobody has looked at yet counts as done for kstatus (Flux, Argo CD, kubectl wait).
    status["default"] = {"observedGeneration": -1}
    return status


def _retry() -> dict[str, Any]:
    return object_of(
        "What the next start depends on; emptied by a stop.",
        {
            "outcome": text(
                "How the last execution of these orders ended: completed, refused, crashed, disrupted or fenced."
            ),
            "failures": number("Failures in a row."),
            "since": text("When the row of failures began."),
            "at": text("When the next execution may start."),
            "specHash": text("The orders it is about."),
            "datasetHash": text("The Dataset it is about."),
        },
    )


def _discovery() -> dict[str, Any]:
    return object_of(
        "What the streams are the streams of, and how the last attempts to list them went.",
        {
            "configHash": text("The configuration that the streams belong to."),
            "rediscoverAt": text("The spec.rediscoverAt that was followed."),
            "stream": text("The stream that was selected then."),
            "at": text("When the streams were received."),
            "notes": list_of("Sentences that came with the streams.", text("A sentence."), atomic=True),
            "misses": number("How many lists in a row lacked the selected stream."),
            "attempts": number("How many attempts were made, ever."),
            "failures": number("How many failed in a row."),
            "failedFor": text("What the failures are about."),
            "refused": yes_no("Whether the last failed for what a person must mend."),
            "reason": text("Why the last failed."),
            "message": text("Why, in a sentence."),
            "retryAt": text("When it is tried again."),
            "ordered": _ordered("What the last attempt was made from."),
        },
    )


def _ordered(description: str) -> dict[str, Any]:
    return object_of(
        description,
        {
            "run": number("Its number.", format="int64"),
            "specHash": text("The orders of an execution."),
            "datasetHash": text("The Dataset of an execution."),
            "configHash": text("The configuration of a discovery."),
            "rediscoverAt": text("The spec.rediscoverAt of a discovery."),
            "stream": text("The stream that was selected at a discovery."),
            "takeOver": text("Whom its table was to be taken over from."),
            "form": text("How its pod was to be: spec.runner and the installation's settings."),
        },
    )
