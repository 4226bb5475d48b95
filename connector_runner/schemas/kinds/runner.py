"""What users may set of a runner's pod: the fields of `spec.runner`, with names and shapes as in any pod."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from connector_runner.schemas.kinds import pod
from connector_runner.schemas.kinds.declare import described, shaped
from connector_runner.schemas.kinds.vocabulary import list_of, opaque, text_map

FIRST_FIELDS = frozenset(
    {
        "resources", "serviceAccountName", "nodeSelector", "tolerations", "affinity", "priorityClassName", "imagePullSecrets",
        "podLabels", "podAnnotations", "terminationGracePeriodSeconds",
    }
)  # fmt: skip
"""The fields of the first version, whose contents the resource definition has never checked in detail."""
Object = dict[str, Any]
Objects = tuple[dict[str, Any], ...]
Texts = dict[str, str]


class RunnerSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the runner's pod should be like, each field as in any pod; all of it is optional. What is absent is as in the installation's defaults.

    How the layers are merged: `workloads/layers.py` of the operator.
    """

    resources: Annotated[Object, shaped(opaque("Requests and limits of the container, as in any pod."))] = {}
    service_account_name: Annotated[
        str, described("The pod's service account; only those that the installation allows.")
    ] = ""
    node_selector: Annotated[Texts, shaped(text_map("Labels that the node must have."))] = {}
    tolerations: Annotated[
        Objects, shaped(list_of("Taints that the pod tolerates, as in any pod.", opaque("One toleration.")))
    ] = ()
    affinity: Annotated[Object, shaped(opaque("Affinity, as in any pod."))] = {}
    priority_class_name: Annotated[str, described("The pod's priority class.")] = ""
    image_pull_secrets: Annotated[
        tuple[Texts, ...], shaped(list_of("Secrets to pull the runner's image with.", pod.secret_reference()))
    ] = ()
    pod_labels: Annotated[Texts, shaped(text_map("More labels for the pod."))] = {}
    pod_annotations: Annotated[Texts, shaped(text_map("More annotations for the pod."))] = {}
    termination_grace_period_seconds: Annotated[
        int | None, described("How long the runner may take to commit and end.", minimum=5, maximum=3600)
    ] = None
    job_labels: Annotated[
        Texts, shaped(pod.own_keys("More labels for the Job, such as kueue.x-k8s.io/queue-name.", pod.LABEL_VALUE))
    ] = {}
    job_annotations: Annotated[
        Texts, shaped(pod.own_keys("More annotations for the Job.", {"type": "string", "maxLength": 65536}))
    ] = {}
    env: Annotated[Objects, shaped(pod.env())] = ()
    volumes: Annotated[Objects, shaped(pod.volumes())] = ()
    volume_mounts: Annotated[Objects, shaped(pod.mounts())] = ()
    security_context: Annotated[Object, shaped(pod.pod_security())] = {}
    container_security_context: Annotated[Object, shaped(pod.container_security())] = {}
    topology_spread_constraints: Annotated[Objects, shaped(pod.spread())] = ()
    runtime_class_name: Annotated[str, described("The container runtime's class.", maxLength=253)] = ""
    scheduler_name: Annotated[str, described("Which scheduler places the pod.", maxLength=253)] = ""
    image_pull_policy: Annotated[
        str, described("When the image is pulled.", enum=["Always", "IfNotPresent", "Never"])
    ] = ""
    host_aliases: Annotated[Objects, shaped(pod.host_aliases())] = ()
    dns_policy: Annotated[
        str,
        described("Where names are looked up.", enum=["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]),
    ] = ""
    dns_config: Annotated[Object, shaped(pod.dns())] = {}
    update_policy: Annotated[
        str,
        described(
            "What a changed image of the runner (a setting of the operator) does to the running execution: it is replaced when it is this connector's turn (Rolling, the default), "
            "or continues until the connector is restarted for another reason (OnRestart). Changing it restarts nothing.",
            enum=["Rolling", "OnRestart"],
        ),
    ] = ""
    host_network: Annotated[bool, described("Uses the node's network; only where the installation allows it.")] = False
    host_pid: Annotated[bool, described("Sees the node's processes; only where the installation allows it.")] = (
        msgspec.field(default=False, name="hostPID")
    )
    host_ipc: Annotated[bool, described("Shares the node's IPC; only where the installation allows it.")] = (
        msgspec.field(default=False, name="hostIPC")
    )

    def raw(self) -> dict[str, Any]:
        """The form in a manifest: absent and empty fields are left out."""
        raw: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return raw
