"""`top`: asks the runners, the metrics API and the statuses, each as far as whoever types the command may."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from connector_operator.kubectl.cluster import Cluster, Json
from connector_operator.kubectl.commands import get_connector, print_json, print_table
from connector_operator.kubectl.fields import find_text
from connector_operator.kubectl.login import CONNECTIONS
from connector_operator.kubectl.refusals import RefusedError
from connector_operator.kubectl.usage import (
    OPTIONAL_OF_LOADS,
    Key,
    build_load,
    build_load_cells,
    build_load_document,
    build_load_header,
    choose_pods,
    explain_unreached,
    read_usage,
    sort_loads,
)
from connector_operator.resources.runner_metrics import Sample, parse_sample
from connector_runner.schemas.manifest import PROBE_PORT
from connector_runner.schemas.printable import printable_lines

FORBIDDEN, UNKNOWN_RESOURCE = 403, 404


def show_top(cluster: Cluster, flags: Namespace) -> int:
    """`top`: connectors that run, the busiest first."""
    namespace = "" if flags.all_namespaces else flags.namespace
    listed = [get_connector(cluster, flags)] if flags.name else cluster.list(namespace)["items"]
    connectors = [each for each in listed if find_text(each, "spec", "status") == "running"]
    notes: list[str] = []
    pods = _read_pods(cluster, namespace, notes)
    samples = [_sample(cluster, pods, notes)]
    if samples[0]:
        time.sleep(flags.seconds)
        samples.append(_sample(cluster, pods, notes))
    usage = _read_usage(cluster, namespace, notes)
    loads = sort_loads([build_load(each, [sample.get(_key(each)) for sample in samples], usage) for each in connectors])
    if flags.output == "json":
        return print_json({"items": [build_load_document(load) for load in loads], "notes": notes})
    if loads:
        header = build_load_header(with_namespace=not namespace)
        print_table(header, [build_load_cells(load, with_namespace=not namespace) for load in loads], OPTIONAL_OF_LOADS)
    else:
        notes = [
            f"{flags.name or 'No connector'} is {'not ' if flags.name else ''}asked to run: `kubectl connectors status`."
        ]
    sys.stderr.writelines(f"{printable_lines(note)}\n" for note in dict.fromkeys(notes))
    return 0


def _key(connector: Json) -> Key:
    return connector["metadata"]["namespace"], connector["metadata"]["name"]


def _read_pods(cluster: Cluster, namespace: str, notes: list[str]) -> Mapping[Key, Mapping[str, object]]:
    try:
        return choose_pods(cluster.list_pods(namespace)["items"])
    except RefusedError as error:
        if error.status != FORBIDDEN:
            raise
        notes.append(f"Rows and lag are those of the status: {error}")
        return {}


def _sample(cluster: Cluster, pods: Mapping[Key, Mapping[str, object]], notes: list[str]) -> dict[Key, Sample]:
    """The metrics of each pod; none where they can't be read, and nobody is asked again who has refused once."""
    refused: list[RefusedError] = []

    def ask(key: Key) -> tuple[Key, Sample | None]:
        if any(error.status == FORBIDDEN for error in refused):
            return key, None
        try:
            text = cluster.read_metrics(key[0], find_text(pods[key], "metadata", "name"), PROBE_PORT)
        except RefusedError as error:
            refused.append(error)
            return key, None
        return key, parse_sample(text, time.monotonic())

    with ThreadPoolExecutor(CONNECTIONS) as workers:
        found = dict(workers.map(ask, pods))
    forbidden = [error for error in refused if error.status == FORBIDDEN]
    if forbidden:
        notes.append(f"Rows and lag are those of the status, up to a minute old: {forbidden[0]}")
    elif refused:
        notes.append(
            f"{len(refused)} of {len(pods)} runners gave no metrics, the first because: {explain_unreached(str(refused[0]))}"
        )
    return {key: sample for key, sample in found.items() if sample is not None}


def _read_usage(cluster: Cluster, namespace: str, notes: list[str]) -> Mapping[Key, tuple[float | None, float | None]]:
    try:
        return read_usage(cluster.list_usage(namespace))
    except RefusedError as error:
        if error.status == UNKNOWN_RESOURCE:
            notes.append("CPU and memory are not known: the cluster has no metrics.k8s.io (metrics-server).")
        elif error.status == FORBIDDEN or error.is_passing:
            notes.append(f"CPU and memory are not known: {error}")
        else:
            raise
        return {}
