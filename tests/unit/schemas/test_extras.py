"""How to get missing packages: the extras exist, the image's default is the Dockerfile's, and nothing refers to a package that is not published."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from connector_runner.schemas.extras import IMAGE, say_install

ROOT = Path(__file__).parents[3]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_the_images_extras_are_the_dockerfiles() -> None:
    assert f"ARG EXTRAS={','.join(IMAGE)}\n" in (ROOT / "connector_runner/Dockerfile").read_text()


def test_each_extra_that_a_message_names_exists() -> None:
    named = {
        extra
        for path in (ROOT / "connector_runner", ROOT / "operator")
        for file in path.rglob("*.py")
        for said in re.findall(r"say_install\(([^)]*)\)", file.read_text())
        for extra in re.findall(r"['\"](\w+)['\"]", said)
    }
    assert named == {"runner", "kafka", "lake", "plugin"}
    assert named <= set(EXTRAS)


def test_what_is_said() -> None:
    assert say_install("plugin") == "in a checkout of this project `pip install '.[plugin]'`"
    assert say_install("runner", "kafka").endswith("`--build-arg EXTRAS=runner,kafka,lake`, which is the default")


def test_nothing_refers_to_a_published_package() -> None:
    command = ["git", "grep", "-nE", r"pip install '?connector-operator", "--", "*.py", "*.md", "*.yaml", "Makefile"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert [
        line for line in found.stdout.splitlines() if not line.startswith("tests/unit/schemas/test_extras.py")
    ] == []
