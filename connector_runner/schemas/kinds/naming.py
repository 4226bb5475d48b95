"""Names of the API, and the rules for names that people choose. Pure."""

from __future__ import annotations

import re

GROUP = "apperate.io"
VERSION = "v1"
API_VERSION = f"{GROUP}/{VERSION}"
CONNECTORS = "connectors"
DATASETS = "datasets"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"

MAX_CONNECTOR_NAME = 51
"""Leaves 57 characters for a Job's name and 63, the limit of a label, for the names of its pods."""
NAME_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DATASET_ID_PATTERN = "^[A-Za-z0-9]([A-Za-z0-9_-]{0,46}[A-Za-z0-9])?$"
ID_PATTERN = "^[a-zA-Z0-9-_]+$"
"""The pattern of an id in the HTTP API; in lower case, with `-` for `_`, it is the Connector's name."""
OTHER_NAME_PATTERN = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""Another Connector's name, or `namespace/name`."""
DEFAULT_DATASET = "default"
"""The Dataset for each `datasetId` that has no Dataset of its own."""


def dataset_name(dataset_id: str) -> str:
    """The Dataset's name for a `datasetId`: lower case, `-` for `_`, no dashes at the ends."""
    return dataset_id.lower().replace("_", "-").strip("-")


def is_connector_name(name: str) -> bool:
    """Whether a Connector may have this name."""
    return len(name) <= MAX_CONNECTOR_NAME and re.match(NAME_PATTERN, name) is not None
