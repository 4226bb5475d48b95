"""Builds the Job that lists all streams of a connector's source for a person: the pod of a discovery that prints each. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from connector_operator.resources import names
from connector_operator.workloads.asked_jobs import (
    NotPossibleError,
    Object,
    UnknownImageError,
    build_asked_job,
    find_image,
)
from connector_operator.workloads.jobs import RunnerSettings, Subject, build_discovery_job
from connector_runner.schemas.kinds.connector import ConnectorSpec


def build_streams_job(connector: Object, seconds: int, like: str = "", image: str = "") -> dict[str, Any]:
    """The Job that a person makes; no Dataset is needed.

    Args:
        connector: The Connector.
        seconds: After this time its pod is ended.
        like: Only streams that this pattern takes in; "" for all.
        image: Of the runner; "" for that of the last execution or discovery.

    Raises:
        NotPossibleError: The spec can't be read, or no image is known.
    """
    metadata = connector["metadata"]
    try:
        spec = msgspec.convert(connector.get("spec") or {}, ConnectorSpec)
    except msgspec.ValidationError as error:
        raise NotPossibleError(f"spec of {metadata['name']}: {error}; fix that first.") from None
    image = image or find_image(connector)
    if not image:
        raise UnknownImageError(f"Which image of the runner {metadata['name']} gets is not known yet.")
    subject = Subject(metadata["namespace"], metadata["name"], metadata["uid"], spec)
    discovery = build_discovery_job(subject, "", 0, RunnerSettings(image=image))
    # Kubernetes would replace `$(NAME)` in an argument by a variable, perhaps a secret.
    arguments = ["discover", "-o", "lines", *([f"--like={like.replace('$', '$$')}"] if like else [])]
    return build_asked_job(discovery, metadata["name"], "streams", names.LABEL_STREAMS, arguments, seconds)
