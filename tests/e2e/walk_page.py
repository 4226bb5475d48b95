"""docs/walk.md, typed: its blocks in a shell, one after the other, with what a machine without a registry and an exchange needs instead."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.kit.cluster import ROOT
from tests.localkube.cluster import LocalKube
from tests.servers.helm import helm

REGISTRY = "registry.example.org"
CONFIG = "    productId: [BTC-USD, LINK-USD]\n"
# All pods share this machine's ports, so each listens on its own address.
LOCAL_VALUES: dict[str, Any] = {
    "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    "settings": {"listen": "$(POD_IP):8080", "leaseDuration": 6},
}


def read_sections() -> dict[str, list[str]]:
    """The page's shell blocks under the number of their heading; "" has those before the first."""
    parts = re.split(r"^## (\d+)\. .*$", (ROOT / "docs/walk.md").read_text(), flags=re.MULTILINE)
    texts = {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}
    return {number: re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL) for number, text in texts.items()}


class Shell:
    """A person at the top of the checkout, with a kubeconfig that may be changed.

    Attributes:
        folder: Where files are written, and where `charts` lies.
    """

    def __init__(self, cluster: LocalKube, folder: Path, source: dict[str, Any]) -> None:
        self.folder = folder
        self._source = source
        (folder / "charts").symlink_to(ROOT / "charts")
        (folder / "localkube.yaml").write_text(yaml.safe_dump(LOCAL_VALUES))
        kubeconfig = shutil.copy(cluster.kubeconfig, folder / "kubeconfig")
        paths = (helm().parent, Path(cluster.kubectl_program).parent)
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("HELM_", "KUBE"))}
        self._environment = {
            **kept, "KUBECONFIG": str(kubeconfig), "HOME": str(folder), "REGISTRY": REGISTRY,
            "PATH": ":".join([*map(str, paths), os.environ["PATH"]]),
        }  # fmt: skip

    def type(self, block: str) -> str:
        """Types a block, and returns what it prints.

        Raises:
            AssertionError: A command failed; the text has what was typed and said.
        """
        block = block.replace("--values values.yaml", "--values values.yaml --values localkube.yaml")
        address = "".join(f"    {name}: {text}\n" for name, text in self._source.items() if name != "productId")
        block = block.replace(CONFIG, CONFIG + address)
        typed = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", block], cwd=self.folder, env=self._environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert typed.returncode == 0, f"$ {block}\n{typed.stdout}"
        return typed.stdout
