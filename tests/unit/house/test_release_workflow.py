"""The release workflow, as far as it can be checked without the forge: what it names is there, and what it rewrites is rewritten."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/release.yaml").read_text())
STEPS = {job: body["steps"] for job, body in WORKFLOW["jobs"].items()}


def script(job: str, name: str) -> str:
    """What a step runs."""
    (found,) = (step["run"] for step in STEPS[job] if step.get("name") == name)
    return str(found)


def run(text: str, folder: Path, **environment: str) -> int:
    return subprocess.run(
        ["bash", "-e", "-c", text], cwd=folder, env={"PATH": "/usr/bin:/bin", **environment}
    ).returncode


def test_each_image_has_its_dockerfile() -> None:
    built = WORKFLOW["jobs"]["images"]["strategy"]["matrix"]["include"]
    assert {one["image"] for one in built} == {"connector-operator", "connector-runner"}
    for one in built:
        text = (ROOT / one["dockerfile"]).read_text()
        assert f'ENTRYPOINT ["{one["image"]}"]' in text
        arguments = set(re.findall(r"^ARG (\w+)", text, flags=re.MULTILINE))
        (options,) = (step["with"]["build-args"] for step in STEPS["images"] if "build-args" in step.get("with", {}))
        assert set(re.findall(r"^(\w+)=", options, flags=re.MULTILINE)) <= arguments


def test_only_the_tag_of_this_release_is_published() -> None:
    text = script("images", "The tag is the release that the sources say")
    (version,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert run(text, ROOT, GITHUB_REF_NAME=f"v{version}") == 0
    assert run(text, ROOT, GITHUB_REF_NAME=f"v{version}.1") != 0


def test_chart_and_file_name_the_published_images(tmp_path: Path) -> None:
    for name in ("charts/connector-operator/values.yaml", "manifests/install.yaml"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    registry = "registry.example/them"
    assert run(script("files", "Chart and install.yaml name the published images"), tmp_path, REGISTRY=registry) == 0
    values = yaml.safe_load((tmp_path / "charts/connector-operator/values.yaml").read_text())
    assert values["image"]["repository"] == f"{registry}/connector-operator"
    assert values["runnerImage"]["repository"] == f"{registry}/connector-runner"
    text = (tmp_path / "install.yaml").read_text()
    assert set(re.findall(r"(\S*connector-(?:operator|runner)):\d", text)) == {
        f"{registry}/connector-operator",
        f"{registry}/connector-runner",
    }


def test_the_documentation_is_built_as_make_docs_does(tmp_path: Path) -> None:
    """With the variable that makes its links lead into the repository; the step's pip is left out, its packages are here."""
    install, build = script("site", "Build the documentation").splitlines()
    (extra,) = re.findall(r"\[(\w+)\]", install)
    assert "-c constraints.txt" in install
    assert re.search(rf"^{extra} = ", (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    (folder,) = (step["with"]["path"] for step in STEPS["site"] if "upload-pages" in step.get("uses", ""))
    assert f"site_dir: {folder}\n" in (ROOT / "mkdocs.yml").read_text()
    where = "https://git.example.org/it/blob/v1"
    command = f"{build.replace('python', sys.executable, 1)} --site-dir {tmp_path}"
    assert run(command, ROOT, REPOSITORY_URL=where) == 0
    assert f'href="{where}/manifests/monitoring"' in (tmp_path / "monitoring.html").read_text()


def test_actions_are_of_a_named_version() -> None:
    for steps in STEPS.values():
        for step in steps:
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "a/b@v1")), step
