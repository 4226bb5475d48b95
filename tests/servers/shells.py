"""zsh and fish as Debian packages them: fetched once, not installed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.servers.fetch import debian_packages, once

_PACKAGES = ("zsh", "zsh-common", "fish", "fish-common", "libpcre2-32-0")
_LIBRARIES = "usr/lib/x86_64-linux-gnu"


def shells() -> Path:
    """The folder with both; the first call fetches them. Debian keeps one version at a time, so that can't be pinned."""
    return once("shells-debian-1", lambda home: debian_packages(_PACKAGES, home))


def build_environment() -> Mapping[str, str]:
    """The environment in which they find their libraries."""
    return {**os.environ, "LD_LIBRARY_PATH": str(shells() / _LIBRARIES)}


def prepare_zsh() -> str:
    """The first line of a zsh: where its modules and functions are, and its completion begun."""
    home = shells()
    modules = next((home / _LIBRARIES / "zsh").iterdir())
    return (
        f"module_path=({modules}) fpath=({home}/usr/share/zsh/functions/**/*(/N)); autoload -U compinit; compinit -u -D"
    )
