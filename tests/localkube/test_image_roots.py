"""An image whose files are in a folder: its processes see those in place of the host's, and can't change them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.test_volumes import SOURCES, mount, with_volumes
from tests.localkube.workloads import container, pod, run_script, state

LOOK = (
    "ls /; id -u; cat /key/user; echo; for at in / /own /data /tmp; do touch $at/x 2> /dev/null && echo wrote $at || echo refused $at; done;"
    " cat /own/file; echo done > /dev/termination-log; test -c /dev/null && ls /proc/self > /dev/null && echo kernel"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files of an image with a shell and a few programs."""
    top = tmp_path / "root"
    for program in ("/bin/sh", "/bin/ls", "/bin/cat", "/usr/bin/touch", "/usr/bin/id", "/usr/bin/test"):
        found = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for path in {program, *re.findall(r"(/\S+) \(0x", found)}:
            copy = top / path.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    (top / "own").mkdir()
    (top / "own/file").write_text("of the image\n")
    return top


@pytest.mark.parametrize("is_read_only", [True, False])
def test_it_sees_its_own_files_and_changes_none(
    localkube: LocalKube, namespace: str, root: Path, is_read_only: bool
) -> None:
    if "user and" in (said := localkube.status()) or "volumes     mount namespaces" not in said:
        pytest.skip("an image with a root directory needs mount namespaces, which this machine does not allow")
    before = sorted(str(path) for path in root.rglob("*"))
    localkube.map_images({"rooted:test": {"root": str(root), "command": ["/bin/sh", "-c"], "user": 65532}})
    localkube.apply(SOURCES, namespace)
    fields = with_volumes(
        container(LOOK, image="rooted:test", securityContext={"readOnlyRootFilesystem": is_read_only}),
        mount("/key", {"secret": {"secretName": "key"}}),
        mount("/data", {"emptyDir": {}}),
        mount("/tmp", {"emptyDir": {}}),
    )
    lines = run_script(localkube, namespace, "rooted", pod("rooted", **fields)).splitlines()
    assert {"own", "key", "data", "bin", "usr"} <= set(lines)
    assert not {"home", "root", "boot", "work"} & set(lines), "what is the host's is not there"
    assert {"65532", "ada", "wrote /data", "wrote /tmp", "of the image", "kernel"} <= set(lines)
    assert "refused /own" in lines
    assert sorted(str(path) for path in root.rglob("*")) == before
    ended = eventually(lambda: state(localkube, namespace, "rooted")["state"].get("terminated"), what="it ended")
    assert ended["message"] == "done\n"
