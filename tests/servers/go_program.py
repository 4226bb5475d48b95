"""Programs built from public Go modules; only for the long suites, because building takes minutes."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.servers.fetch import once


def build_go_program(name: str, module: str, version: str) -> Path:
    """The program `cmd/<name>` of a module; the first call builds it."""
    return once(f"{name}-{version}", lambda home: _build(home, name, module, version)) / name


def _build(home: Path, name: str, module: str, version: str) -> None:
    program = f"{module}/cmd/{name}"
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        for command in (["go", "mod", "init", "build"], ["go", "get", f"{module}@{version}"]):
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        # Go can't import a program as a package, but naming it adds its dependencies to go.sum.
        (Path(folder) / "tools.go").write_text(f'//go:build tools\n\npackage build\n\nimport _ "{program}"\n')
        subprocess.run(["go", "mod", "tidy", "-e"], cwd=folder, check=True, capture_output=True)
        subprocess.run(["go", "build", "-o", home / name, program], cwd=folder, check=True, capture_output=True)
