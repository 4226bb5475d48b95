"""Chromium as Debian packages it, with what drives it (playwright-core) and what judges its pages (axe-core): fetched once, not installed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.servers.fetch import once, run_client

PLAYWRIGHT = "playwright-core@1.65.1"
AXE = "axe-core@4.14.1"
_DEBIAN = ("chromium", "fonts-inter", "fonts-liberation")
_FONTS = {"system-ui": "Inter", "sans-serif": "Inter", "serif": "Liberation Serif", "monospace": "Liberation Mono"}
_LIBRARIES = (
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib/chromium",
    "usr/lib/x86_64-linux-gnu/pulseaudio",
)


def chromium() -> Path:
    """The folder with the browser; the first call fetches it. Debian keeps one version at a time, so that can't be pinned."""
    return once("chromium-debian-2", _unpack)


def drivers() -> Path:
    """The folder whose `node_modules` has playwright-core and axe-core; the first call fetches them."""
    return once(f"browser-drivers-{PLAYWRIGHT}-{AXE}".replace("@", "-"), _install)


def build_environment() -> Mapping[str, str]:
    """The environment for a driver program: where the browser, its libraries and its fonts are."""
    home = chromium()
    libraries = [str(home / part) for part in _LIBRARIES]
    return {
        **os.environ,
        "CHROMIUM": str(home / "usr/lib/chromium/chromium"),
        "LD_LIBRARY_PATH": ":".join(libraries),
        "FONTCONFIG_FILE": str(home / "fonts.conf"),
        "DRIVERS": f"{drivers()}/",
    }


def _unpack(home: Path) -> None:
    """What the machine lacks of the browser and its dependencies. A browser that was unpacked stays usable when packages are added later."""
    archives = home / "archives"
    (archives / "partial").mkdir(parents=True)
    options = ["-o", f"Dir::Cache::archives={archives}"]
    if os.geteuid() == 0:
        options += ["-o", "APT::Sandbox::User=root"]  # else it requires to own the folder
    command = [
        "apt-get",
        *options,
        "install",
        "-q",
        "--yes",
        "--download-only",
        "--reinstall",
        "--no-install-recommends",
        *_DEBIAN,
    ]
    try:
        run_client(command)
    except RuntimeError:
        subprocess.run(["apt-get", "update", "-q"], check=False, capture_output=True)
        run_client(command)
    for package in sorted(archives.glob("*.deb")):
        run_client(["dpkg", "-x", str(package), str(home)])
        package.unlink()
    aliases = "".join(
        f"<alias><family>{name}</family><prefer><family>{font}</family></prefer></alias>"
        for name, font in _FONTS.items()
    )
    (home / "fonts.conf").write_text(
        '<?xml version="1.0"?>\n<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">\n'
        f"<fontconfig><dir>{home}/usr/share/fonts</dir><cachedir>{home}/fonts-cache</cachedir>{aliases}</fontconfig>\n"
    )


def _install(home: Path) -> None:
    command = [
        "npm",
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
        str(home),
        PLAYWRIGHT,
        AXE,
    ]
    run_client(command)
