"""What fetches real servers is asked for up front, in a sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import fetch
from tests.servers.__main__ import ORDINARY

ROOT = Path(__file__).parents[3]


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No server fetched, no program on PATH."""
    monkeypatch.setattr(fetch, "SERVERS", tmp_path / "servers")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "servers"


def test_only_what_is_still_needed_is_missing(nothing: Path) -> None:
    wanted = [("mysql", ["mvn", "dpkg"]), ("anvil", ["npm"]), ("mariadb", ["dpkg"])]
    assert fetch.missing_clients(wanted) == ["dpkg", "mvn", "npm"]
    for complete in ("mysql-8/complete", "mariadb-10/complete"):
        (nothing / complete).parent.mkdir(parents=True)
        (nothing / complete).touch()
    assert fetch.missing_clients(wanted) == ["npm"]
    (nothing.parent / "npm").touch(mode=0o755)
    assert fetch.missing_clients(wanted) == []


def test_a_missing_program_is_named_with_where_to_get_it(nothing: Path) -> None:
    with pytest.raises(fetch.MissingClientError, match=r"npm, which comes with Node\.js"):
        fetch.run_client(["npm", "install"])


@pytest.mark.usefixtures("nothing")
def test_the_command_says_all_that_is_missing_before_it_fetches_anything(tmp_path: Path) -> None:
    code = f"import pathlib, runpy; import tests.servers.fetch as f; f.SERVERS = pathlib.Path({str(tmp_path)!r})"
    script = f"{code}; runpy.run_module('tests.servers', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    for client in {client for server in ORDINARY for client in server.clients}:
        assert f"{client}: " in done.stderr
    assert "Traceback" not in done.stderr
