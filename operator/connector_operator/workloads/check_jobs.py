"""Builds the Job of one check: the pod of an execution, with `check` instead of `run`. Pure."""

from __future__ import annotations

from typing import Any

from connector_operator.resources import names
from connector_operator.workloads.asked_jobs import Object, build_asked_job, build_execution


def build_check_job(
    connector: Object, datasets: list[Any], seconds: int, arguments: tuple[str, ...] = (), image: str = ""
) -> dict[str, Any]:
    """The Job that a person makes.

    Args:
        connector: The Connector.
        datasets: All Datasets of its namespace.
        seconds: After this time its pod is ended.
        arguments: Of the command besides its name.
        image: Of the runner; "" for that of the last execution or discovery.

    Raises:
        NotPossibleError: Something is missing without which there is nothing to check.
    """
    execution, name = build_execution(connector, datasets, image), str(connector["metadata"]["name"])
    return build_asked_job(execution, name, "check", names.LABEL_CHECK, ["check", *arguments], seconds)
