"""What may not be said of a runner's pod: what is the operator's own, and what would give more than creating Connectors does.

Who may create Connectors may perhaps not create pods. So a Connector takes no token, no part of the host, no privilege, and no
code of its own into the runner, unless the installation allows the first three by name (`--runner-allow`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from connector_operator.resources import names
from connector_runner.schemas.manifest import CONFIG_DIRECTORY, DATA_DIRECTORY

ALLOWANCES = ("hostPath", "hostNetwork", "hostPID", "hostIPC", "privileged")
"""What an installation may allow to Connectors, by name."""
OWN_VARIABLES = ("POD_IP",)
OWN_PREFIX = "CONNECTOR_"
CODE_PREFIXES = ("PYTHON", "LD_", "OPENSSL_")
CODE_VARIABLES = ("PATH", "GCONV_PATH")
"""With such a variable and a volume somebody else's code would run in the runner."""
OWN_VOLUMES = ("tmp", "data", "dataset")
OWN_VOLUME_PREFIX = "config-"
OWN_PATHS = ("/tmp", DATA_DIRECTORY, CONFIG_DIRECTORY.rpartition("/")[0], "/dev", "/proc", "/sys")  # noqa: S108 - the pod's own
CODE_PATHS: tuple[str, ...] = (
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/usr",
    "/opt/connector",
    "/etc/ld.so.preload",
)
CODE_PATHS += ("/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.cache", "/etc/ssl/openssl.cnf")
OWN_LABEL_PREFIXES = (f"{names.GROUP}/", "batch.kubernetes.io/")
OWN_LABELS = (names.LABEL_MANAGED_BY, "job-name", "controller-uid")
SAFE_CAPABILITIES = {"NET_BIND_SERVICE"}
SAFE_PROFILES = {"RuntimeDefault", "Localhost"}

Raw = Mapping[str, Any]


def overlaps(path: str, other: str) -> bool:
    """Whether a mount at `path` would cover or lie in `other`."""
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


def restricted_problems(runner: Raw, allowed: Collection[str], path: str) -> Iterator[str]:
    """What a Connector may not say unless the installation allows it."""
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if runner.get(name) and name not in allowed:
            yield f"{path}.{name}: {_not_allowed(name)}"
    for index, volume in enumerate(runner.get("volumes") or ()):
        place = f"{path}.volumes[{index}]"
        if "hostPath" in volume and "hostPath" not in allowed:
            yield f"{place}.hostPath: {_not_allowed('hostPath')}"
    for index, variable in enumerate(runner.get("env") or ()):
        name = str(variable.get("name"))
        if name.startswith(CODE_PREFIXES) or name in CODE_VARIABLES:
            yield f"{path}.env[{index}].name: {name} can bring code into the runner; only the installation's defaults may set it"
    for index, mount in enumerate(runner.get("volumeMounts") or ()):
        taken = next((code for code in CODE_PATHS if overlaps(str(mount.get("mountPath")), code)), None)
        if taken is not None:
            yield f"{path}.volumeMounts[{index}].mountPath: {mount.get('mountPath')} meets {taken}, where the runner's code is; only the installation's defaults may mount there"
    volumes = {volume.get("name") for volume in runner.get("volumes") or ()}
    for index, mount in enumerate(runner.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            yield f"{path}.volumeMounts[{index}].name: {mount.get('name')} is none of {path}.volumes"
    if "privileged" not in allowed:
        for field in ("securityContext", "containerSecurityContext"):
            for place, what in _privileges(runner.get(field) or {}):
                yield f"{path}.{field}.{place}: {what} {_not_allowed('privileged')}"


def conflicts(runner: Raw, installation: Raw, path: str) -> Iterator[str]:
    """Where a Connector would put its own files in the place of the installation's."""
    volumes = {volume.get("name") for volume in installation.get("volumes") or ()}
    for index, volume in enumerate(runner.get("volumes") or ()):
        if volume.get("name") in volumes:
            yield f"{path}.volumes[{index}].name: {volume['name']} is a volume of the installation's defaults; choose another name"
    mounts = [str(mount.get("mountPath")) for mount in installation.get("volumeMounts") or ()]
    for index, mount in enumerate(runner.get("volumeMounts") or ()):
        taken = next((own for own in mounts if overlaps(str(mount.get("mountPath")), own)), None)
        if taken is not None:
            yield f"{path}.volumeMounts[{index}].mountPath: {mount['mountPath']} meets {taken} of the installation's defaults; choose another path"


def _privileges(context: Raw) -> Iterator[tuple[str, str]]:
    """What goes beyond Pod Security's profile `restricted`."""
    for name in ("privileged", "allowPrivilegeEscalation"):
        if context.get(name):
            yield name, "is more than the profile restricted allows;"
    if context.get("runAsNonRoot") is False:
        yield "runAsNonRoot", "false is more than the profile restricted allows;"
    if context.get("runAsUser") == 0:
        yield "runAsUser", "0 is root;"
    for name in ("seccompProfile", "appArmorProfile"):
        kind = (context.get(name) or {}).get("type")
        if kind is not None and kind not in SAFE_PROFILES:
            yield f"{name}.type", f"{kind} is more than the profile restricted allows;"
    capabilities = context.get("capabilities")
    if capabilities is not None:
        if not SAFE_CAPABILITIES.issuperset(capabilities.get("add") or ()):
            yield "capabilities.add", "only NET_BIND_SERVICE may be added;"
        if "ALL" not in (capabilities.get("drop") or ()):
            yield "capabilities.drop", "must have ALL;"
    if context.get("procMount", "Default") != "Default":
        yield "procMount", "only Default may be set;"
    options = context.get("seLinuxOptions") or {}
    if options.get("user") or options.get("role"):
        yield "seLinuxOptions", "user and role can't be set;"
    if options.get("type", "container_t") not in {
        "",
        "container_t",
        "container_init_t",
        "container_kvm_t",
        "container_engine_t",
    }:
        yield "seLinuxOptions.type", "is more than the profile restricted allows;"
    if context.get("sysctls"):
        yield "sysctls", "change the kernel;"


def _not_allowed(name: str) -> str:
    return f"this installation does not allow it; the administrator can, by --runner-allow {name}"
