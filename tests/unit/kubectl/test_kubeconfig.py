"""A kubeconfig is read as the Kubernetes client for Python reads it, and as kubectl where that differs."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes import client, config

from connector_operator.kubectl.kubeconfig import find_paths, read_access
from connector_operator.kubectl.login import find_proxy, open_session, run_plugin
from connector_operator.kubectl.refusals import RefusedError

WORDS = st.sampled_from(["a", "b", "c"])
TOKENS = st.from_regex(r"[A-Za-z0-9.-]{1,20}", fullmatch=True)
USERS = st.one_of(
    st.builds(lambda token: {"token": token}, TOKENS),
    st.builds(lambda name, word: {"username": name, "password": word}, TOKENS, TOKENS),
    st.just({}),
)


def write(folder: Path, name: str = "config", **parts: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **parts}))
    return path


def one(user: dict[str, Any], cluster: dict[str, Any] | None = None, **context: Any) -> dict[str, Any]:
    return {
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": "http://api:80/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", **context}}],
    }


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(WORDS, TOKENS, min_size=1), st.dictionaries(WORDS, USERS, min_size=1),
    st.lists(st.tuples(WORDS, WORDS, WORDS, st.sampled_from(["", "ns"])), min_size=1, max_size=4), st.booleans(),
)  # fmt: skip
def test_host_namespace_and_credentials_are_those_that_the_client_reads(
    tmp_path_factory: pytest.TempPathFactory,
    clusters: dict[str, str],
    users: dict[str, Any],
    contexts: Any,
    is_named: bool,
) -> None:
    listed = [
        {"name": name, "context": {"cluster": cluster, "user": user, **({"namespace": place} if place else {})}}
        for name, cluster, user, place in {each[0]: each for each in contexts}.values()
        if cluster in clusters and user in users
    ]
    if not listed:
        return
    path = write(
        tmp_path_factory.mktemp("kube"),
        **{"current-context": listed[0]["name"], "contexts": listed},
        clusters=[{"name": name, "cluster": {"server": f"http://{host}"}} for name, host in clusters.items()],
        users=[{"name": name, "user": user} for name, user in users.items()],
    )
    context = listed[-1]["name"] if is_named else ""
    access = read_access([path], context)
    theirs = client.Configuration()
    config.load_kube_config(str(path), context or None, theirs)  # type: ignore[no-untyped-call]
    assert access.server == theirs.host
    assert access.namespace == (listed[-1] if is_named else listed[0])["context"].get("namespace", "default")
    headers = open_session(access, "").headers
    kept = theirs.auth_settings()
    expected = kept["BearerToken"]["value"] if kept else theirs.username and theirs.get_basic_auth_token()
    said = {name.lower(): value for name, value in headers.items()}
    assert said.get("authorization") == (expected or None)


def test_several_files_are_merged_and_the_first_counts(tmp_path: Path) -> None:
    first = write(
        tmp_path, "a/config", **{"current-context": "x"}, users=[{"name": "u", "user": {"tokenFile": "token"}}]
    )
    (tmp_path / "a/token").write_text("first\n")
    second = write(tmp_path, "b/config", **one({"token": "second"}, namespace="shop"))
    access = read_access(
        find_paths("", {"KUBECONFIG": os.pathsep.join([str(tmp_path / "none"), str(first), str(second)])})
    )
    assert (access.read_token(), access.namespace) == ("first", "shop")
    assert find_paths("given", {"KUBECONFIG": "other"}) == [Path("given")]
    assert find_paths("", {}) == [Path.home() / ".kube/config"]


def test_what_is_wrong_with_a_kubeconfig_is_said(tmp_path: Path) -> None:
    def refusal(path: Path, context: str = "") -> str:
        with pytest.raises(RefusedError) as caught:
            open_session(read_access([path], context), "")
        return str(caught.value)

    assert "There is no kubeconfig" in refusal(tmp_path / "none")
    assert "no context y, but x" in refusal(write(tmp_path, **one({})), "y")
    assert "no current-context" in refusal(write(tmp_path, **{**one({}), "current-context": ""}))
    assert "no server" in refusal(write(tmp_path, **{**one({}), "clusters": []}))
    assert "client-key" in refusal(
        write(tmp_path, **one({"client-certificate-data": "eA==", "client-key": "none"}, {"server": "https://a"}))
    )
    assert "tokenFile" in refusal(write(tmp_path, **one({"tokenFile": "none"})))
    assert "socks5" in refusal(write(tmp_path, **one({}, {"proxy-url": "socks5://a"})))
    assert "can't be used" in refusal(
        write(
            tmp_path, **one({}, {"server": "https://a", "certificate-authority-data": base64.b64encode(b"x").decode()})
        )
    )
    (tmp_path / "config").write_text("a: [")
    assert "can't be read" in refusal(tmp_path / "config")
    (tmp_path / "config").write_text("just text")
    assert "no kubeconfig" in refusal(tmp_path / "config")


def plugin(folder: Path, script: str, **fields: Any) -> dict[str, Any]:
    path = folder / "login"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "./login",
            "interactiveMode": "Never",
            **fields,
        }
    }


def test_a_credential_plugin_is_run_beside_its_kubeconfig(tmp_path: Path) -> None:
    script = """echo "$KUBERNETES_EXEC_INFO" > asked; echo '{"status": {"token": "'$1-$WORD'"}}'"""
    user = plugin(
        tmp_path,
        f"cd {tmp_path}; {script}",
        args=["now"],
        env=[{"name": "WORD", "value": "w"}],
        provideClusterInfo=True,
    )
    access = read_access([write(tmp_path, **one(user))])
    session = open_session(access, "bob")
    assert dict(session.headers) == {"Authorization": "Bearer now-w", "Impersonate-User": "bob"}
    assert session.is_renewable
    asked = json.loads((tmp_path / "asked").read_text())
    assert asked["spec"] == {"interactive": False, "cluster": {"server": "http://api:80/"}}


@pytest.mark.parametrize(
    ("script", "fields", "said"),
    [
        ("exit 3", {}, "has failed with exit code 3: log in again"),
        ("echo nothing", {}, "gives no credentials"),
        ("echo '[]'", {}, "gives no credentials"),
        ("", {"command": "no-such-program-x", "installHint": "Get it by apt."}, "not installed. Get it by apt."),
    ],
)
def test_a_credential_plugin_that_fails_is_named(
    tmp_path: Path, script: str, fields: dict[str, str], said: str
) -> None:
    access = read_access([write(tmp_path, **one(plugin(tmp_path, script, **fields)))])
    with pytest.raises(RefusedError, match=said):
        run_plugin(access)


def test_proxies_are_those_of_the_kubeconfig_else_of_the_environment(tmp_path: Path) -> None:
    access = read_access([write(tmp_path, **one({}, {"server": "https://api.shop"}))])
    around = {"HTTPS_PROXY": "http://proxy:1", "no_proxy": ""}
    with pytest.MonkeyPatch.context() as patch:
        for name in [*os.environ]:
            if name.lower().endswith("_proxy"):
                patch.delenv(name)
        assert find_proxy(access, os.environ) == ""
        patch.setenv("HTTPS_PROXY", around["HTTPS_PROXY"])
        assert find_proxy(access, os.environ) == "http://proxy:1"
        patch.setenv("NO_PROXY", "api.shop")
        assert find_proxy(access, os.environ) == ""
        own = read_access([write(tmp_path, **one({}, {"proxy-url": "http://own:2"}))])
        assert find_proxy(own, os.environ) == "http://own:2"


def test_kubectls_impersonation_and_kept_tokens_are_used(tmp_path: Path) -> None:
    user = {"as": "bob", "as-groups": ["a", "b c"], "auth-provider": {"name": "oidc", "config": {"id-token": "t"}}}
    access = read_access([write(tmp_path, **one(user))])
    headers = open_session(access, "").headers
    assert list(headers.items()) == [
        ("Authorization", "Bearer t"), ("Impersonate-User", "bob"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b c"),
    ]  # fmt: skip
