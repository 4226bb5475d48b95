"""Programs built from public Go modules; only for the long suites, because building takes minutes."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.fetch import once


def build_go_program(
    name: str, module: str, version: str, tags: str = "", *, program: str = "", files: str = ""
) -> Path:
    """A program of a module; the first call builds it.

    Args:
        name: The program's.
        module: The module's path.
        version: The module's, with its v.
        tags: Build tags, with commas, for a program without what no test needs.
        program: Its package; `cmd/<name>` of the module if empty.
        files: A folder of the module that is copied beside the program, under its last name.
    """
    package = program or f"{module}/cmd/{name}"
    return (
        once(f"{name}-{version}", lambda home: _build(home / name, f"{module}@{version}", package, tags, files)) / name
    )


def _build(target: Path, source: str, program: str, tags: str, files: str) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{target.name}-") as folder:
        for command in (["go", "mod", "init", "build"], ["go", "get", source]):
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        # Go can't import a program as a package, but naming it adds its dependencies to go.sum.
        (Path(folder) / "tools.go").write_text(f'//go:build tools\n\npackage build\n\nimport _ "{program}"\n')
        subprocess.run(["go", "mod", "tidy", "-e"], cwd=folder, check=True, capture_output=True)
        subprocess.run(
            ["go", "build", "-tags", tags, "-o", target, program], cwd=folder, check=True, capture_output=True
        )
        if files:
            place = ["go", "list", "-m", "-f", "{{.Dir}}", source.partition("@")[0]]
            found = subprocess.run(place, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
            shutil.copytree(Path(found) / files, target.parent / Path(files).name)


def build_go_copy(name: str, module: str, version: str, missing: Mapping[str, str]) -> Path:
    """The program `cmd/<name>` of a module that lacks files which its project makes before a release (pages); the first call builds it.

    Args:
        name: The program's.
        module: The module's path.
        version: The module's, with its v.
        missing: Path in the module and content of each such file.
    """
    return once(f"{name}-{version}", lambda home: _build_copy(home, name, f"{module}@{version}", missing)) / name


def _build_copy(home: Path, name: str, module: str, missing: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        command = ["go", "mod", "download", "-json", module]
        found = json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout)
        copy = Path(folder) / "module"
        # Without the modes: the module cache can't be written to.
        shutil.copytree(found["Dir"], copy, copy_function=shutil.copyfile)
        for place in (copy, *copy.rglob("*")):
            if place.is_dir():
                place.chmod(0o755)
        for path, text in missing.items():
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).write_text(text)
        build = ["go", "build", "-o", str(home / name), f"./cmd/{name}"]
        subprocess.run(build, cwd=copy, check=True, capture_output=True)


def build_go_source(source: Path, version: str, modules: Sequence[str]) -> Path:
    """A program of our own, from a folder with its `.go` files and public modules (`module@version`); the first call builds it.

    Args:
        source: The folder; its name is the program's.
        version: To be changed when the sources or the modules change.
        modules: What it imports.
    """
    return once(f"{source.name}-{version}", lambda home: _build_source(home, source, modules)) / source.name


def _build_source(home: Path, source: Path, modules: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{source.name}-") as folder:
        for file in source.glob("*.go"):
            shutil.copy(file, folder)
        commands = [["mod", "init", "build"], *(["get", module] for module in modules), ["mod", "tidy"]]
        for command in [*commands, ["build", "-o", str(home / source.name), "."]]:
            subprocess.run(["go", *command], cwd=folder, check=True, capture_output=True)
