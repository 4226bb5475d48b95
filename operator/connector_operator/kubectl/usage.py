"""`top`: how much each execution carries and uses, from metrics, statuses and pods as the API server gives them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector_operator.kubectl.fields import Object, find, find_count, find_objects, find_text
from connector_operator.kubectl.rows import UNKNOWN
from connector_operator.resources.names import CONTAINER, LABEL_CONNECTOR
from connector_operator.resources.runner_metrics import Sample, run_of
from connector_runner.schemas.manifest import PROBE_PORT

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(n|u|m|k|Ki|M|Mi|G|Gi|T|Ti)?")
_FACTORS = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip
OPTIONAL_OF_LOADS = ("FROM", "ROWS", "LAG")
"""Columns that a terminal that is too narrow does without, the first ones first."""
Key = tuple[str, str]
"""Namespace and name of a connector."""


@dataclass(frozen=True, slots=True)
class Load:
    """One execution.

    Attributes:
        rows_per_second, lag: Of the source named by `origin`; None if unknown.
        cpu: Cores.
        memory: Bytes.
        origin: `metrics`, `status` or "".
    """

    namespace: str
    name: str
    rows_per_second: float | None
    lag: float | None
    rows: int | None
    cpu: float | None
    memory: float | None
    origin: str


def parse_quantity(text: str) -> float | None:
    """A quantity of Kubernetes, such as 250m, 12345n or 128Mi; None if it is none."""
    found = _QUANTITY.fullmatch(text)
    return float(found[1]) * _FACTORS[found[2] or ""] if found else None


def read_usage(listed: Object) -> dict[Key, tuple[float | None, float | None]]:
    """Cores and bytes of the runner's container by connector, from a list of metrics.k8s.io."""
    found = {}
    for pod in find_objects(listed, "items"):
        for container in find_objects(pod, "containers"):
            if container.get("name") == CONTAINER:
                amounts = (find_text(container, "usage", "cpu"), find_text(container, "usage", "memory"))
                found[_key(pod)] = (parse_quantity(amounts[0]), parse_quantity(amounts[1]))
    return found


def choose_pods(pods: Sequence[Object]) -> dict[Key, Object]:
    """The running pod of each connector; of several that of the latest execution."""
    running = [pod for pod in pods if find_text(pod, "status", "phase") == "Running"]
    return {_key(pod): pod for pod in sorted(running, key=run_of)}


def explain_unreached(said: str) -> str:
    """Why a pod could not be asked; what `address not allowed` means and what to do."""
    if "address not allowed" not in said:
        return said
    return (
        f"{said.rstrip('.')}. The API server asks no pod whose address is of the machine itself (127.…), as a test cluster's may be. "
        "Rows and lag are those of the status, up to a minute old; on such a cluster ask the pod itself: "
        f"`curl http://ADDRESS:{PROBE_PORT}/metrics`."
    )


def _key(pod: Object) -> Key:
    return find_text(pod, "metadata", "namespace"), str(find(pod, "metadata", "labels", LABEL_CONNECTOR) or "")


def build_load(
    connector: Object, samples: Sequence[Sample | None], usage: Mapping[Key, tuple[float | None, float | None]]
) -> Load:
    """What is known of a connector's execution.

    Args:
        connector: As the API server returns it.
        samples: Two of its runner's metrics, the earlier one first; none, or None, if they can't be read.
        usage: Of all connectors.
    """
    key = find_text(connector, "metadata", "namespace"), find_text(connector, "metadata", "name")
    cpu, memory = usage.get(key, (None, None))
    known = [sample for sample in samples if sample is not None]
    if len(known) == 2:
        first, last = known
        rate = max(0.0, last.rows - first.rows) / max(1e-3, last.at - first.at)
        return Load(*key, rate, last.lag, int(last.rows), cpu, memory, "metrics")
    progress = find(connector, "status", "progress")
    if not isinstance(progress, Mapping):
        return Load(*key, None, None, None, cpu, memory, "")
    rows = _plain(progress.get("rowsPerMinute"))
    known_rate = None if rows is None else rows / 60
    return Load(
        *key, known_rate, _plain(progress.get("lagSeconds")), find_count(progress, "rows"), cpu, memory, "status"
    )


def _plain(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def sort_loads(loads: Sequence[Load]) -> list[Load]:
    """The busiest first."""
    return sorted(loads, key=lambda load: (-(load.rows_per_second or 0), -(load.cpu or 0), load.namespace, load.name))


def build_load_header(*, with_namespace: bool) -> tuple[str, ...]:
    """The names of the columns."""
    names = ("NAME", "ROWS/S", "LAG", "ROWS", "CPU", "MEMORY", "FROM")
    return ("NAMESPACE", *names) if with_namespace else names


def build_load_cells(load: Load, *, with_namespace: bool) -> tuple[str, ...]:
    """What is in the columns of a row; CPU in thousandths of a core and memory in mebibytes, as `kubectl top` has them."""
    cells = (
        load.name,
        UNKNOWN if load.rows_per_second is None else f"{load.rows_per_second:,.0f}",
        UNKNOWN if load.lag is None else f"{load.lag:,.0f}s",
        UNKNOWN if load.rows is None else f"{load.rows:,}",
        UNKNOWN if load.cpu is None else f"{load.cpu * 1000:.0f}m",
        UNKNOWN if load.memory is None else f"{load.memory / 2**20:,.0f}Mi",
        load.origin or UNKNOWN,
    )
    return (load.namespace, *cells) if with_namespace else cells


def build_load_document(load: Load) -> dict[str, Any]:
    """The row for `-o json`."""
    return {
        "namespace": load.namespace, "name": load.name, "rowsPerSecond": load.rows_per_second, "lagSeconds": load.lag,
        "rows": load.rows, "cpuCores": load.cpu, "memoryBytes": load.memory, "from": load.origin,
    }  # fmt: skip
