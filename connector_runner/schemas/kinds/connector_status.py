"""The status of a Connector, field by field. The operator alone writes it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from connector_runner.schemas.catalogue import SelectionSummary, StreamSummary
from connector_runner.schemas.kinds.conditions import Conditions, ObservedGeneration
from connector_runner.schemas.kinds.declare import described
from connector_runner.schemas.orders import NO_ANSWER, OrdersAnswer
from connector_runner.schemas.progress import Progress

STATES = ("pending", "received", "ready", "running", "stopped", "errored")


class State(msgspec.Struct, frozen=True, rename="camel"):
    """The state, as the Connectors API answers it."""

    status: Annotated[str, described("One of the six states.", enum=list(STATES))] = ""
    job_id: Annotated[str, described("The connector's name.")] = ""
    exec_id: Annotated[str, described("The current execution; its last part is the name of its Job.")] = ""


class LastExecution(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The last execution that has ended, or is being ended."""

    run: Annotated[int, described("Its number; absent when there was none.")] = 0
    exec_id: Annotated[str, described("Its execution id.")] = ""
    started_at: Annotated[str, described("When its process started.")] = ""
    finished_at: Annotated[str, described("When its process ended; absent while its pod is still ending.")] = ""
    exit_code: Annotated[
        int | None, described("Its exit code; absent when nobody could see it (stopped, or its pod was lost).")
    ] = None
    reason: Annotated[str, described("Why it ended.")] = ""
    message: Annotated[str, described("The runner's own message.")] = ""


class Retry(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the next start depends on. A stop clears it, and so does a change of the spec or of the Dataset."""

    outcome: Annotated[
        str,
        described(
            "How the last execution with this spec ended: completed, refused (exit code 78), crashed, disrupted or fenced."
        ),
    ] = ""
    failures: Annotated[int, described("How many executions in a row have failed.")] = 0
    since: Annotated[str, described("When the first of these failures happened.")] = ""
    at: Annotated[str, described("When the next execution may start.")] = ""
    spec_hash: Annotated[str, described("Hash of the spec that this is about.")] = ""
    dataset_hash: Annotated[str, described("Hash of the Dataset that this is about.")] = ""


class Held(msgspec.Struct, frozen=True, omit_defaults=True):
    """What held the dataset when it refused the last execution."""

    run: Annotated[
        int, described("The run of this connector that holds it; absent when it was not refused.", format="int64")
    ] = 0
    mark: Annotated[str, described("The position of that run's checkpoint.")] = ""


class Ordered(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the last reserved execution, or the last discovery, was made from.

    It stands here and not only in the Job, because whatever admits a Job may change it: what was asked for is compared,
    never what was read back.
    """

    run: Annotated[int, described("The number of the execution or discovery.", format="int64")] = 0
    spec_hash: Annotated[str, described("Of an execution: hash of the spec.")] = ""
    dataset_hash: Annotated[str, described("Of an execution: hash of the Dataset.")] = ""
    selection: Annotated[str, described("Of an execution: hash of the spec.streams that it was started with.")] = ""
    sent: Annotated[
        str,
        described("Of an execution: hash of the spec.streams that it was last sent while it ran; absent if none was."),
    ] = ""
    sent_at: Annotated[str, described("When it was sent.")] = ""
    answer: Annotated[OrdersAnswer, described("What its runner answered to that.")] = NO_ANSWER
    config_hash: Annotated[str, described("Of a discovery: hash of the configuration.")] = ""
    rediscover_at: Annotated[str, described("Of a discovery: spec.rediscoverAt at that time.")] = ""
    stream: Annotated[
        str, described("Of a discovery: the stream that was selected at that time, or the hash of the selection.")
    ] = ""
    form: Annotated[str, described("Hash of spec.runner and of the installation's settings for its pod.")] = ""
    take_over: Annotated[str, described("Hash of spec.takeOver.")] = ""
    image: Annotated[str, described("The runner's image, as the operator's setting named it.")] = ""
    defaults: Annotated[
        str, described("Hash of the installation's settings and defaults for pods, without the image.")
    ] = ""


class Update(msgspec.Struct, frozen=True, omit_defaults=True):
    """A replacement because the runner's image has changed, until it has proved to work; absent when there is none."""

    image: Annotated[str, described("The image that the execution was replaced for.")] = ""
    run: Annotated[int, described("The first run that is made from it.", format="int64")] = 0
    at: Annotated[str, described("When the execution of the earlier image was stopped.")] = ""


class Discovery(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the streams were listed for, and how the last attempts to list them ended."""

    config_hash: Annotated[str, described("Hash of the configuration that the streams belong to.")] = ""
    rediscover_at: Annotated[str, described("The spec.rediscoverAt that they were listed for.")] = ""
    stream: Annotated[str, described("The stream that was selected then, or the hash of the selection.")] = ""
    at: Annotated[str, described("When the streams were received.")] = ""
    form: Annotated[str, described("Hash of how the pod was to be that listed them.")] = ""
    begun: Annotated[str, described("When the discovery that listed them began.")] = ""
    missing: Annotated[
        tuple[Annotated[str, described("A stream.")], ...],
        described("Streams that other connectors had selected and that the source does not have."),
    ] = ()
    notes: Annotated[
        tuple[Annotated[str, described("A sentence.")], ...], described("Remarks of the source about the streams.")
    ] = ()
    selections: Annotated[
        tuple[SelectionSummary, ...],
        described(
            "What the selections of all connectors take that waited for these streams; only at the one that listed them."
        ),
    ] = ()
    misses: Annotated[int, described("How many discoveries in a row did not find the selected stream.")] = 0
    attempts: Annotated[int, described("How many attempts were made, ever.")] = 0
    failures: Annotated[int, described("How many attempts in a row have failed.")] = 0
    failed_for: Annotated[str, described("Hash of what the failed attempts were made for.")] = ""
    refused: Annotated[bool, described("Whether the last attempt failed for something that a person must fix.")] = False
    held_back: Annotated[
        bool, described("Whether the deadline of the last attempt came before its container had started.")
    ] = False
    reason: Annotated[str, described("Why the last attempt failed.")] = ""
    message: Annotated[str, described("Why, in a sentence.")] = ""
    retry_at: Annotated[str, described("When the next attempt is made.")] = ""
    failed_begun: Annotated[str, described("When the last attempt that failed began.")] = ""
    failed_at: Annotated[str, described("When its end was seen.")] = ""
    failed_alone: Annotated[
        bool, described("Whether it failed only for the stream that was selected, so that it says nothing of others.")
    ] = False
    ordered: Annotated[Ordered, described("What the last attempt was made from.")] = Ordered()


class Selected(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is selected, and what a person should know of it."""

    text: Annotated[
        str, described("The selected stream, or how many are selected; before that is known, the patterns.")
    ] = ""
    selected: Annotated[int, described("How many streams spec.streams selected when they were last listed.")] = 0
    key: Annotated[str, described("Hash of the patterns that this is about.")] = ""
    idle: Annotated[
        dict[str, tuple[str, ...]],
        described("Patterns that nothing in the source matches, each with the nearest names; at most 20."),
    ] = {}
    aside: Annotated[
        tuple[Annotated[str, described("A stream.")], ...],
        described("Streams that a pattern matches but that only their exact name selects (shadow tables); at most 20."),
    ] = ()
    problems: Annotated[
        tuple[Annotated[str, described("A sentence.")], ...], described("What is wrong with it at this source.")
    ] = ()


class EffectiveDataset(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The Dataset that datasetId means."""

    name: Annotated[str, described("The Dataset's name.")] = ""
    table: Annotated[str, described("The table in it.")] = ""


class RunProgress(Progress, frozen=True, omit_defaults=True, rename="camel"):
    """What the runner of the present execution reports of itself, since its start."""

    run: Annotated[int, described("The number of that execution.", format="int64")] = 0
    text: Annotated[str, described("How far it is, in a few words.")] = ""
    lag: Annotated[str, described("How far it is behind the source, in words.")] = ""
    unread: Annotated[str, described("Why its progress is not known: it could not be read.")] = ""


class ConnectorStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What the operator observes. Only the operator writes it."""

    observed_generation: ObservedGeneration = -1
    state: State = State()
    streams: Annotated[
        tuple[StreamSummary, ...],
        described("The source's streams, at most 500; the selected one is always among them.", key="id"),
    ] = ()
    streams_total: Annotated[int, described("How many streams the source has.")] = 0
    selection: Selected = Selected()
    dataset: EffectiveDataset = EffectiveDataset()
    progress: RunProgress = RunProgress()
    run: Annotated[int, described("How many executions have been reserved so far.", format="int64")] = 0
    ordered: Annotated[Ordered, described("What the last reserved execution was made from.")] = Ordered()
    runner_version: Annotated[
        str, described("The tag or digest of the image that the live execution was made from; empty without one.")
    ] = ""
    update: Update = Update()
    held: Held = Held()
    last_execution: LastExecution = LastExecution()
    retry: Retry = Retry()
    discovery: Discovery = Discovery()
    conditions: Conditions = ()
    updated: Annotated[str, described("When this status last changed.")] = ""
