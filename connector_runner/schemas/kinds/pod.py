"""The schemas of the fields of `spec.runner` that hold objects and lists, as Kubernetes has them in a pod. Pure.

Each field has the name and shape as in any pod. Fields that would give out tokens (service account tokens, certificates in the
pod's name) or leave the namespace are not included.
"""

from __future__ import annotations

from connector_runner.schemas.config import Schema
from connector_runner.schemas.kinds import reserved
from connector_runner.schemas.kinds.vocabulary import (
    list_of,
    number,
    object_of,
    opaque,
    quantity,
    text,
    text_map,
    yes_no,
)

_NAME = {"minLength": 1, "maxLength": 253}
LABEL_VALUE = {"type": "string", "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"}


def secret_reference() -> Schema:
    """A Secret by its name."""
    return object_of("A Secret.", {"name": text("Its name.")})


def host_aliases() -> Schema:
    """More entries of /etc/hosts."""
    fields = {"ip": text("The address.", maxLength=45), "hostnames": texts("Its names.")}
    item = object_of("One address.", fields, ["ip"])
    return list_of("More entries for the pod's /etc/hosts.", item, maxItems=100)


def texts(description: str) -> Schema:
    """A list of short texts."""
    return list_of(description, text("One.", maxLength=253), maxItems=100)


def _rule(holds: str, message: str) -> dict[str, str]:
    return {"rule": holds, "message": message}


def _cel_list(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


def own_keys(description: str, value: Schema) -> Schema:
    """A map of labels or annotations, without the operator's own keys."""
    prefixes = " && ".join(f"!k.startsWith('{prefix}')" for prefix in reserved.OWN_LABEL_PREFIXES)
    schema: Schema = {"type": "object", "description": description, "additionalProperties": value, "maxProperties": 64}
    holds = f"self.all(k, {prefixes} && !(k in {_cel_list(reserved.OWN_LABELS)}))"
    message = f"keys that begin with {' or '.join(reserved.OWN_LABEL_PREFIXES)} and {', '.join(reserved.OWN_LABELS)} are not yours to set"
    return schema | {"x-kubernetes-validations": [_rule(holds, message)]}


def _key_of(what: str) -> Schema:
    fields = {
        "name": text(f"The {what}.", **_NAME),
        "key": text("Its key.", **_NAME),
        "optional": yes_no("Whether it may be absent."),
    }
    return object_of(f"A key of a {what} of this namespace.", fields, ["name", "key"])  # fmt: skip


def _field_of() -> Schema:
    fields = {"apiVersion": text("v1."), "fieldPath": text("As in metadata.name.", maxLength=253)}
    return object_of("A field of the pod.", fields, ["fieldPath"])


def env() -> Schema:
    """Environment variables of the container."""
    resource = object_of(
        "Resources of the container.",
        {"containerName": text("runner."), "resource": text("As in limits.memory."), "divisor": quantity("The unit.")},
        ["resource"],
    )
    source = object_of(
        "Where its value comes from.",
        {
            "secretKeyRef": _key_of("Secret"),
            "configMapKeyRef": _key_of("ConfigMap"),
            "fieldRef": _field_of(),
            "resourceFieldRef": resource,
        },
    )
    item = object_of(
        "One variable.",
        {
            "name": text("Its name.", minLength=1, maxLength=253, pattern="^[-._a-zA-Z][-._a-zA-Z0-9]*$"),
            "value": text("Its value; $(NAME) stands for an earlier variable's.", maxLength=65536),
            "valueFrom": source,
        },
        ["name"],
    )
    item["x-kubernetes-validations"] = [
        _rule(
            f"!self.name.startsWith('{reserved.OWN_PREFIX}') && !(self.name in {_cel_list(reserved.OWN_VARIABLES)})",
            f"names that begin with {reserved.OWN_PREFIX}, and {', '.join(reserved.OWN_VARIABLES)}, are the operator's own",
        ),
        _rule("!has(self.value) || !has(self.valueFrom)", "give either value or valueFrom"),
    ]
    return _keyed("Environment variables, such as HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE.", item, "name")


def _keyed(description: str, item: Schema, key: str) -> Schema:
    kind = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key], "maxItems": 100}
    return {"type": "array", "description": description, "items": item, **kind}


def _items() -> Schema:
    fields = {"key": text("The key."), "path": text("The file's path."), "mode": number("The file's mode.")}
    return list_of(
        "Which keys become which files; absent, all.", object_of("One.", fields, ["key", "path"]), maxItems=100
    )


def _optional() -> Schema:
    return yes_no("Whether it may be absent.")


def volumes() -> Schema:
    """Volumes of the pod, without kinds that give out tokens."""
    mode = number("Mode of the files.")
    bundle = {
        "name": text("The bundle's name."),
        "signerName": text("All bundles of this signer."),
        "labelSelector": opaque("Those with these labels."),
        "optional": _optional(),
        "path": text("The file's path."),
    }
    downward = object_of(
        "Fields of the pod.",
        {"items": list_of("The files.", object_of("One.", {"path": text("The file's path."), "fieldRef": _field_of(), "mode": mode}, ["path"]), maxItems=100)},
    )  # fmt: skip
    named = {"name": text("Its name.", **_NAME), "items": _items(), "optional": _optional()}
    source = object_of(
        "One source.",
        {
            "secret": object_of("A Secret.", named, ["name"]),
            "configMap": object_of("A ConfigMap.", named, ["name"]),
            "downwardAPI": downward,
            "clusterTrustBundle": object_of("Certificates that the cluster trusts.", bundle, ["path"]),
        },
    )
    kinds = {
        "secret": object_of("A Secret.", {"secretName": text("Its name.", **_NAME), "items": _items(), "defaultMode": mode, "optional": _optional()}),
        "configMap": object_of("A ConfigMap.", {**named, "defaultMode": mode}),
        "emptyDir": object_of("A folder as long as the pod.", {"medium": text("Memory, or the node's disk when absent."), "sizeLimit": quantity("The most it may hold.")}),
        "persistentVolumeClaim": object_of("A claim.", {"claimName": text("Its name.", **_NAME), "readOnly": yes_no("Read-only.")}, ["claimName"]),
        "csi": object_of("A volume of a CSI driver.", {
            "driver": text("The driver."), "readOnly": yes_no("Read-only."), "fsType": text("The file system."), "volumeAttributes": text_map("The driver's own."),
            "nodePublishSecretRef": object_of("A Secret for the driver.", {"name": text("Its name.")}),
        }, ["driver"]),
        "projected": object_of("Several sources in one folder; no tokens.", {"sources": list_of("The sources.", source, maxItems=50), "defaultMode": mode}),
        "hostPath": object_of("A path of the node; only where the installation allows it.", {"path": text("The path."), "type": text("What must be there.")}, ["path"]),
    }  # fmt: skip
    item = object_of(
        "One volume: a name and one kind.",
        {"name": text("Its name.", minLength=1, maxLength=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"), **kinds},
        ["name"],
    )
    count = " + ".join(f"(has(self.{kind}) ? 1 : 0)" for kind in kinds)
    own = f"!(self.name in {_cel_list(reserved.OWN_VOLUMES)}) && !self.name.startsWith('{reserved.OWN_VOLUME_PREFIX}')"
    taken = f"{', '.join(reserved.OWN_VOLUMES)} and names that begin with {reserved.OWN_VOLUME_PREFIX} are the operator's own"
    item["x-kubernetes-validations"] = [
        _rule(own, taken),
        _rule(f"{count} == 1", f"give one of {', '.join(kinds)}"),
    ]
    return _keyed("Volumes beside the operator's own.", item, "name")


def mounts() -> Schema:
    """Where volumes are mounted."""
    item = object_of(
        "One mount.",
        {
            "name": text("The volume, one of volumes.", minLength=1, maxLength=63),
            "mountPath": text("Where; not over or in what is the runner's own.", pattern="^/[^:]*$", maxLength=512),
            "subPath": text("A path within the volume.", maxLength=512),
            "subPathExpr": text("The same, with variables.", maxLength=512),
            "readOnly": yes_no("Read-only."),
            "recursiveReadOnly": text("Read-only for what is mounted within.", enum=["Disabled", "IfPossible", "Enabled"]),
        },
        ["name", "mountPath"],
    )  # fmt: skip
    own = "|".join(path.removeprefix("/") for path in reserved.OWN_PATHS)
    message = f"the root, and {', '.join(reserved.OWN_PATHS)} with what is in them, are the runner's own"
    item["x-kubernetes-validations"] = [_rule(f"!self.mountPath.matches('^/+(({own})(/.*)?)?$')", message)]
    return _keyed("Where volumes are mounted.", item, "mountPath")


def _profile(what: str) -> Schema:
    kinds = ["RuntimeDefault", "Localhost", "Unconfined"]
    return object_of(what, {"type": text("Which.", enum=kinds), "localhostProfile": text("The node's own.")}, ["type"])


def _common_security() -> dict[str, Schema]:
    options = {name: text("As SELinux has it.", maxLength=253) for name in ("level", "role", "type", "user")}
    return {
        "runAsUser": number("The user's number; absent, the image's or the cluster's.", minimum=0, format="int64"),
        "runAsGroup": number("The group's number.", minimum=0, format="int64"),
        "runAsNonRoot": yes_no("Refuses to run as root. Default: true."),
        "seLinuxOptions": object_of("SELinux' label.", options),
        "seccompProfile": _profile("The seccomp profile. Default: RuntimeDefault."),
        "appArmorProfile": _profile("The AppArmor profile."),
    }


def pod_security() -> Schema:
    """The pod's security context."""
    number_of = number("A group's number.", minimum=0, format="int64")
    sysctl = object_of("One.", {"name": text("Its name."), "value": text("Its value.")}, ["name", "value"])
    return object_of(
        "The pod's security context. More than the profile restricted allows only where the installation does (privileged).",
        {
            **_common_security(),
            "fsGroup": number("The group that volumes belong to.", minimum=0, format="int64"),
            "fsGroupChangePolicy": text("When ownership is changed.", enum=["Always", "OnRootMismatch"]),
            "supplementalGroups": list_of("More groups.", number_of, maxItems=100),
            "supplementalGroupsPolicy": text("Whether the image's groups count.", enum=["Merge", "Strict"]),
            "sysctls": list_of(
                "Kernel parameters; only where the installation allows privileged.", sysctl, maxItems=50
            ),
        },
    )


def container_security() -> Schema:
    """The container's security context."""
    lists = {"add": texts("Added."), "drop": texts("Dropped.")}
    return object_of(
        "The container's security context. More than the profile restricted allows only where the installation does (privileged).",
        {
            **_common_security(),
            "readOnlyRootFilesystem": yes_no("Default: true."),
            "allowPrivilegeEscalation": yes_no("Default: false."),
            "privileged": yes_no("Only where the installation allows it."),
            "capabilities": object_of("Capabilities. Default: drop ALL.", lists),
            "procMount": text("How /proc is mounted.", enum=["Default", "Unmasked"]),
        },
    )


def spread() -> Schema:
    """Topology spread constraints."""
    expression = {
        "key": text("The label."),
        "operator": text("In, NotIn, Exists, DoesNotExist."),
        "values": texts("Its values."),
    }
    selector = object_of(
        "Which pods are counted.",
        {
            "matchLabels": text_map("Labels they have."),
            "matchExpressions": list_of("Or these.", object_of("One.", expression, ["key", "operator"]), maxItems=50),
        },
    )
    honor = ["Honor", "Ignore"]
    item = object_of(
        "One constraint.",
        {
            "maxSkew": number("How uneven it may be.", minimum=1),
            "topologyKey": text("The label of the nodes.", **_NAME),
            "whenUnsatisfiable": text("What then.", enum=["DoNotSchedule", "ScheduleAnyway"]),
            "labelSelector": selector,
            "matchLabelKeys": texts("Labels whose values must be this pod's."),
            "minDomains": number("The least number of domains.", minimum=1),
            "nodeAffinityPolicy": text("Whether node affinity counts.", enum=honor),
            "nodeTaintsPolicy": text("Whether taints count.", enum=honor),
        },
        ["maxSkew", "topologyKey", "whenUnsatisfiable"],
    )
    return list_of("How pods are spread over the nodes.", item, maxItems=20)


def dns() -> Schema:
    """The pod's DNS configuration."""
    option = object_of("One.", {"name": text("Its name."), "value": text("Its value.")})
    return object_of(
        "How names are looked up.",
        {
            "nameservers": texts("Addresses of servers."),
            "searches": texts("Domains that are tried."),
            "options": list_of("The resolver's options.", option, maxItems=50),
        },
    )
