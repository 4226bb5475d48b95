"""What a Connector may not set for its runner's pod unless the installation allows it.

These fields would give more rights than creating Connectors does.

The right to create Connectors does not include the right to create pods. So a Connector gets no token, no part of the
host, no privileges, and no code of its own in the runner, unless the installation allows the first three by name
(`--runner-allow`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from connector_runner.schemas.kinds.reserved import overlaps

ALLOWANCES = ("hostPath", "hostNetwork", "hostPID", "hostIPC", "privileged")
"""What an installation may allow to Connectors, by name."""
CODE_PREFIXES = ("PYTHON", "LD_", "OPENSSL_")
CODE_VARIABLES = ("PATH", "GCONV_PATH")
"""With such a variable and a volume, foreign code would run in the runner."""
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
SAFE_CAPABILITIES = {"NET_BIND_SERVICE"}
SAFE_PROFILES = {"RuntimeDefault", "Localhost"}

Raw = Mapping[str, Any]


def restricted_problems(runner: Raw, allowed: Collection[str], path: str) -> Iterator[str]:
    """What a Connector may not set unless the installation allows it."""
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
    """Where a Connector would replace files of the installation by its own."""
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
    """What goes beyond the profile `restricted` of Pod Security."""
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
