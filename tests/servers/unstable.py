"""Programs of Debian's unstable suite, separate from the machine's own: found by apt with its own configuration, only unpacked."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.servers.fetch import run_client

_FIELDS = ("ORIGIN", "LABEL", "COMPONENT", "REPO_URI")
# From the package debian-archive-keyring. If it is missing, the keys that the machine's apt trusts for every source.
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def unstable_packages(names: Sequence[str], folder: Path) -> None:
    """Downloads packages of Debian unstable with all dependencies (as if nothing were installed); unpacks them into `folder`.

    The mirror is the one that the machine's apt uses for its own release. Signatures are checked in the same way: Debian signs
    unstable with the keys of its releases, so a machine's keyring has the key unless it is many years old.

    Args:
        names: Package names for apt, such as `mysql-server-core=9.7*`.
        folder: Created if it is missing.

    Raises:
        RuntimeError: The machine's apt knows no Debian mirror, doesn't trust the suite, or has no such package; the message says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unstable-") as name:
        home = Path(name)
        home.chmod(0o755)  # apt switches to its own user, which reads the keyring and the sources
        options = _configure(home)
        run_client(["apt-get", *options, "update", "-q"])
        run_client(
            ["apt-get", *options, "install", "-q", "--yes", "--download-only", "--no-install-recommends", *names]
        )
        for package in sorted((home / "cache" / "archives").glob("*.deb")):
            run_client(["dpkg", "-x", str(package), str(folder)])


def loaded_program(folder: Path, name: str) -> list[str]:
    """The command for a server program of unpacked packages, built for a newer C library than the machine's: runs it through its own loader."""
    libraries = folder / "usr" / "lib" / "x86_64-linux-gnu"
    return [
        str(libraries / "ld-linux-x86-64.so.2"),
        "--library-path",
        str(libraries),
        str(folder / "usr" / "sbin" / name),
    ]


def _configure(home: Path) -> list[str]:
    """An apt that knows one suite, no installed package, and writes only below `home`: its options."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (home / part).mkdir(parents=True)
    (home / "status").touch()
    lines = ["Types: deb", f"URIs: {own_mirror()}", "Suites: unstable", "Components: main"]
    lines += [f"Signed-By: {_KEYS}"] if _KEYS.exists() else []
    (home / "unstable.sources").write_text("\n".join([*lines, ""]))
    settings: dict[str, str | Path] = {
        "Dir::Etc::SourceList": home / "unstable.sources", "Dir::Etc::SourceParts": "-", "Dir::Etc::PreferencesParts": "-",
        "Dir::State": home / "state", "Dir::State::status": home / "status", "Dir::Cache": home / "cache",
        "Acquire::Languages": "none", "APT::Update::Error-Mode": "any",
    }  # fmt: skip
    if os.geteuid() == 0:
        settings["APT::Sandbox::User"] = "root"  # else it requires to own these folders
    return [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]


def own_mirror() -> str:
    """The Debian mirror among the machine's own sources."""
    form = "\t".join(f"$({field})" for field in _FIELDS)
    for attempt in (1, 2):
        command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
        for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():
            *what, mirror = line.split("\t")
            if what == ["Debian", "Debian", "main"]:
                return mirror
        if attempt == 1:  # apt knows the origin of its sources only after an update
            subprocess.run(["apt-get", "update", "-q"], check=False, capture_output=True)
    raise RuntimeError("Debian's unstable suite is wanted, but none of this machine's apt sources is a Debian mirror")
