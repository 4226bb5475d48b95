"""What etcd forgets: a list that is read in pages then can't be gone on with, nor can an old watch."""

from __future__ import annotations

import base64
import json
from typing import Any

import urllib3

from tests.localkube.cluster import LocalKube


def forget_history(cluster: LocalKube) -> None:
    """Has etcd forget all states but the present one, as the API server has it do every five minutes."""
    port = json.loads((cluster.directory / "cluster.json").read_text())["ports"]["Etcd"]
    pki = cluster.directory / "pki"
    authority, certificate, key = (str(pki / name) for name in ("ca.crt", "etcd-client.crt", "etcd-client.key"))

    with urllib3.PoolManager(ca_certs=authority, cert_file=certificate, key_file=key) as pool:

        def call(path: str, body: dict[str, Any]) -> Any:
            answer = pool.request("POST", f"https://127.0.0.1:{port}/v3/kv/{path}", json=body, timeout=60)
            assert answer.status == 200, answer.data
            return answer.json()

        present = call("range", {"key": base64.b64encode(b"/").decode()})["header"]["revision"]
        call("compaction", {"revision": present, "physical": True})
