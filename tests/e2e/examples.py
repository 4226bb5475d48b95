"""The examples on a cluster, applied as in their READMEs except for the address of the server; and what is in their volumes then."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from tests.kit.cluster import ROOT, Kit

Documents = dict[str, dict[str, Any]]
"""The documents of a manifest by their kind."""


def type_readme(kit: Kit, example: str, folder: Path, adapt: Callable[[Documents], None]) -> None:
    """Types each shell block of an example's README, in a copy of the example; each manifest that they apply is adapted first.

    The namespace is the one that a person has chosen for kubectl.

    Raises:
        AssertionError: A command failed; the text has what they said.
    """
    here = shutil.copytree(ROOT / "examples" / example, folder / example)
    script = "".join(re.findall(r"```sh\n(.*?)```", (here / "README.md").read_text(), flags=re.DOTALL))
    applied = re.findall(r"^kubectl apply -f (\S+)$", script, flags=re.MULTILINE)
    assert "cluster.yaml" in applied
    for manifest in (here / name for name in applied):
        documents = {document["kind"]: document for document in yaml.safe_load_all(manifest.read_text())}
        adapt(documents)
        manifest.write_text(yaml.safe_dump_all(documents.values()))
    kubeconfig = shutil.copy(kit.cluster.kubeconfig, folder / "kubeconfig")
    path = f"{Path(kit.cluster.kubectl_program).parent}:{os.environ['PATH']}"
    typed = subprocess.run(
        ["bash", "-ex", "-c", f"kubectl config set-context --current --namespace={kit.namespace}\n{script}"],
        cwd=here,
        env={**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert typed.returncode == 0, typed.stdout


def rows_in(path: Path, query: str) -> list[tuple[Any, ...]]:
    """What an SQLite file in a volume answers.

    Raises:
        LookupError: There is no such file or table yet.
    """
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.OperationalError as error:
        raise LookupError(f"{path}: {error}") from error
