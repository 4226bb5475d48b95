"""The volumes of a runner's pod: Secrets, the dataset's file, a folder for temporary files. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connector_operator.resources.dataset import DatasetView
from connector_runner.schemas import manifest as orders
from connector_runner.schemas.kinds.connector import ConnectorSpec
from connector_runner.schemas.kinds.dataset import DatasetSpec
from connector_runner.schemas.secrets import SecretSource

DATASET_URL_FILE = "url"

Volumes = list[tuple[dict[str, Any], dict[str, Any]]]
"""Volumes with their mounts."""


def build_volumes(
    spec: ConnectorSpec, dataset: DatasetView | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, str]]:
    """Volumes, their mounts, and the variables that contain their paths."""
    found: Volumes = [({"name": "tmp", "emptyDir": {}}, {"name": "tmp", "mountPath": "/tmp"})]  # noqa: S108 - the pod's own
    variables: dict[str, str] = {}
    if spec.config_from:
        found += _secrets("config", orders.CONFIG_DIRECTORY, [source.source() for source in spec.config_from])
        variables[orders.CONFIG_DIRECTORY_VARIABLE] = orders.CONFIG_DIRECTORY
    if dataset is not None and dataset.spec is not None:
        found += _of_dataset(dataset.spec, variables)
    return [volume for volume, _ in found], [mount for _, mount in found], variables


def _of_dataset(where: DatasetSpec, variables: dict[str, str]) -> Volumes:
    found: Volumes = []
    if where.url_from is not None:
        reference = where.url_from.secret_key_ref
        items = [{"key": reference.key, "path": DATASET_URL_FILE}]
        volume = {"name": "dataset", "secret": {"secretName": reference.name, "items": items}}
        found.append((volume, {"name": "dataset", "mountPath": orders.DATASET_DIRECTORY, "readOnly": True}))
        variables[orders.DATASET_URL_VARIABLE] = f"{orders.DATASET_DIRECTORY}/{DATASET_URL_FILE}"
    if where.options_from:
        # The prefix is one that volumes of users can't have.
        sources = [source.source() for source in where.options_from]
        found += _secrets("config-dataset", orders.OPTIONS_DIRECTORY, sources)
        variables[orders.OPTIONS_DIRECTORY_VARIABLE] = orders.OPTIONS_DIRECTORY
    if where.volume_claim:
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": where.volume_claim}}
        found.append((volume, {"name": "data", "mountPath": orders.DATA_DIRECTORY}))
        variables[orders.DATA_DIRECTORY_VARIABLE] = orders.DATA_DIRECTORY
    return found


def _secrets(prefix: str, folder: str, sources: Sequence[SecretSource]) -> Volumes:
    """Each Secret in a subfolder of its own, `0`, `1`, … in order."""
    found: Volumes = []
    for index, source in enumerate(sources):
        secret = {"secretName": source.name, **({"optional": True} if source.optional else {})}
        name = f"{prefix}-{index}"
        found.append(
            ({"name": name, "secret": secret}, {"name": name, "mountPath": f"{folder}/{index}", "readOnly": True})
        )
    return found
