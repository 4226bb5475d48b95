"""As whom and by which way: what client-go makes of a kubeconfig and of the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from connector_operator.kubectl.kubeconfig import read_access
from connector_operator.kubectl.login import find_proxy, open_session, run_plugin
from connector_operator.kubectl.proxies import is_direct
from connector_operator.kubectl.refusals import RefusedError
from tests.unit.kubectl.test_kubeconfig import one, plugin, write


@pytest.mark.parametrize("static", [{"token": "t"}, {"username": "u", "password": "p"}])
def test_a_credential_plugin_is_not_run_beside_static_credentials(tmp_path: Path, static: dict[str, Any]) -> None:
    user = {**plugin(tmp_path, f'touch {tmp_path}/ran; echo \'{{"status": {{"token": "other"}}}}\''), **static}
    session = open_session(read_access([write(tmp_path, **one(user))]), "")
    assert not (tmp_path / "ran").exists()
    assert session.headers["Authorization"] in {"Bearer t", "Basic dTpw"}
    assert not session.is_renewable


def test_all_that_impersonates_is_sent_and_a_flag_changes_the_user_alone(tmp_path: Path) -> None:
    user = {"as": "bob", "as-uid": "7", "as-groups": ["a"], "as-user-extra": {"Scope/x%": ["1", "2"]}}
    access = read_access([write(tmp_path, **one(user))])
    for given, whom in (("", "bob"), ("eve", "eve")):
        assert list(open_session(access, given).headers.items()) == [
            ("Impersonate-User", whom), ("Impersonate-Uid", "7"), ("Impersonate-Group", "a"),
            ("Impersonate-Extra-Scope%2Fx%25", "1"), ("Impersonate-Extra-Scope%2Fx%25", "2"),
        ]  # fmt: skip


@pytest.mark.parametrize("part", [{"as-uid": "7"}, {"as-groups": ["a"]}, {"as-user-extra": {"a": ["b"]}}])
def test_a_part_of_a_user_without_the_user_is_refused(tmp_path: Path, part: dict[str, Any]) -> None:
    access = read_access([write(tmp_path, **one(part))])
    with pytest.raises(RefusedError, match="without the user"):
        open_session(access, "")


def test_a_plugin_beside_a_kubeconfig_is_never_looked_for_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = plugin(tmp_path, """echo '{"status": {"token": "own"}}'""")
    write(tmp_path, **one(user))
    other = tmp_path / "bin" / "login"
    other.parent.mkdir()
    other.write_text("""#!/bin/sh\necho '{"status": {"token": "of the path"}}'\n""")
    other.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{other.parent}{os.pathsep}{os.environ['PATH']}")
    assert run_plugin(read_access([Path("config")])) == {"token": "own"}


@pytest.mark.parametrize(
    ("server", "listed", "direct"),
    [
        ("https://127.0.0.1:6443", "", True),
        ("https://127.3.2.1", "", True),
        ("https://[::1]:6443", "", True),
        ("https://localhost:6443", "", True),
        ("https://10.1.2.3:6443", "", False),
        ("https://10.1.2.3:6443", "x, 10.0.0.0/8", True),
        ("https://11.1.2.3:6443", "10.0.0.0/8", False),
        ("https://[fd00::1]:6443", "fd00::/8", True),
        ("https://10.1.2.3:6443", "10.1.2.3", True),
        ("https://10.1.2.3:6443", "10.1.2.3:443", False),
        ("https://10.1.2.3", "10.1.2.3:443", True),
        ("https://[fd00::1]:6443", "[fd00::1]:6443", True),
        ("https://api.shop", "shop", True),
        ("https://api.shop", "*.shop", True),
        ("https://shop", ".shop", False),
        ("https://shop", "SHOP", True),
        ("https://bigshop", "shop", False),
        ("https://api.shop:6443", "shop:443", False),
        ("https://api.shop", "*", True),
        ("https://api.shop", ",, :80,", False),
    ],
)
def test_what_no_proxy_says(server: str, listed: str, direct: bool, tmp_path: Path) -> None:
    assert is_direct(server, listed) is direct
    access = read_access([write(tmp_path, **one({}, {"server": server}))])
    with pytest.MonkeyPatch.context() as patch:
        for name in [*os.environ]:
            if name.lower().endswith("_proxy"):
                patch.delenv(name)
        patch.setenv("HTTPS_PROXY", "http://proxy:1")
        patch.setenv("NO_PROXY", listed)
        assert find_proxy(access, os.environ) == ("" if direct else "http://proxy:1")
