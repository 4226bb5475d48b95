"""What a person may say of a runner's pod, as values: the fields of `spec.runner`, each named and shaped as in any pod."""

from __future__ import annotations

from typing import Any

import msgspec

FIRST_FIELDS = frozenset(
    {
        "resources", "serviceAccountName", "nodeSelector", "tolerations", "affinity", "priorityClassName", "imagePullSecrets",
        "podLabels", "podAnnotations", "terminationGracePeriodSeconds",
    }
)  # fmt: skip
"""The fields of the first version, whose content the resource definition never checked more closely."""
Parts = tuple[dict[str, Any], ...]


class RunnerSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """All optional. What is absent is as the installation has it; see `workloads/layers.py`."""

    resources: dict[str, Any] = {}
    service_account_name: str = ""
    node_selector: dict[str, str] = {}
    tolerations: Parts = ()
    affinity: dict[str, Any] = {}
    priority_class_name: str = ""
    image_pull_secrets: tuple[dict[str, str], ...] = ()
    pod_labels: dict[str, str] = {}
    pod_annotations: dict[str, str] = {}
    termination_grace_period_seconds: int | None = None
    job_labels: dict[str, str] = {}
    job_annotations: dict[str, str] = {}
    env: Parts = ()
    volumes: Parts = ()
    volume_mounts: Parts = ()
    security_context: dict[str, Any] = {}
    container_security_context: dict[str, Any] = {}
    topology_spread_constraints: Parts = ()
    runtime_class_name: str = ""
    scheduler_name: str = ""
    image_pull_policy: str = ""
    host_aliases: Parts = ()
    dns_policy: str = ""
    dns_config: dict[str, Any] = {}
    host_network: bool = False
    host_pid: bool = msgspec.field(default=False, name="hostPID")
    host_ipc: bool = msgspec.field(default=False, name="hostIPC")

    def raw(self) -> dict[str, Any]:
        """As in a manifest: what is absent or empty is left out."""
        raw: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return raw
