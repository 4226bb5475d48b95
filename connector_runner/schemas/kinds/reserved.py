"""The parts of a runner's pod that only the operator sets: names of variables, volumes, paths and labels. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connector_runner.schemas.kinds import naming
from connector_runner.schemas.manifest import CONFIG_DIRECTORY, DATA_DIRECTORY

OWN_VARIABLES = ("POD_IP",)
OWN_PREFIX = "CONNECTOR_"
OWN_VOLUMES = ("tmp", "data", "dataset", "orders")
OWN_VOLUME_PREFIX = "config-"
OWN_PATHS = ("/tmp", DATA_DIRECTORY, CONFIG_DIRECTORY.rpartition("/")[0], "/dev", "/proc", "/sys")  # noqa: S108 - the pod's own
OWN_LABEL_PREFIXES = (f"{naming.GROUP}/", "batch.kubernetes.io/")
OWN_LABELS = (naming.LABEL_MANAGED_BY, "job-name", "controller-uid")

Raw = Mapping[str, Any]


def overlaps(path: str, other: str) -> bool:
    """Whether a mount at `path` would cover `other` or be inside it."""
    mine, theirs = _steps(path), _steps(other)
    shorter = min(len(mine), len(theirs))
    return mine[:shorter] == theirs[:shorter]


def _steps(path: str) -> list[str]:
    steps: list[str] = []
    for step in path.split("/"):
        if step == "..":
            del steps[-1:]
        elif step not in {"", "."}:
            steps.append(step)
    return steps


def own_problems(runner: Raw, path: str) -> Iterator[str]:
    """What is the operator's own, whoever says it."""
    for index, variable in enumerate(runner.get("env") or ()):
        name = str(variable.get("name"))
        if name.startswith(OWN_PREFIX) or name in OWN_VARIABLES:
            yield f"{path}.env[{index}].name: {name} is the operator's own; names that begin with {OWN_PREFIX}, and {', '.join(OWN_VARIABLES)}, can't be set"
    for index, volume in enumerate(runner.get("volumes") or ()):
        name = str(volume.get("name"))
        if name in OWN_VOLUMES or name.startswith(OWN_VOLUME_PREFIX):
            yield f"{path}.volumes[{index}].name: {name} is the operator's own; choose another name"
    for index, mount in enumerate(runner.get("volumeMounts") or ()):
        taken = next((own for own in OWN_PATHS if overlaps(str(mount.get("mountPath")), own)), None)
        if taken is not None:
            yield f"{path}.volumeMounts[{index}].mountPath: {mount.get('mountPath')} meets {taken}, which is the runner's own"
    for field in ("jobLabels", "jobAnnotations"):
        for key in runner.get(field) or ():
            if key.startswith(OWN_LABEL_PREFIXES) or key in OWN_LABELS:
                yield f"{path}.{field}: {key} is not yours to set"
